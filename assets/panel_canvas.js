/* What the panels that draw on a canvas supply to their menus: the heat map's cells, the flame
   graph whole (a screen shows a part of it) and its nodes. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { known } = pyrometer.format;
  const LIMIT_MS = 10000;
  const MAX_SIDE_PX = 16000; // of a canvas, in the browsers in use

  // The heat map: a row for each cell that is not empty

  async function heatRows() {
    const response = await fetch(`/performance/metrics/heatmap?${pyrometer.time.query()}`, { signal: AbortSignal.timeout(LIMIT_MS) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error || `HTTP ${response.status}`);
    const { times, bounds_ms: bounds, counts } = answer;
    const rows = times.flatMap((time, step) => counts[step].map((requests, band) =>
      [new Date(time * 1000), bounds[band], bounds[band + 1], requests]));
    return { columns: ["Time", "From, ms", "To, ms", "Requests"], rows: rows.filter((row) => row[3] > 0), note: "" };
  }

  // The flame graph

  function shown() {
    const answer = pyrometer.flame.page.answer();
    if (!answer) throw new Error("nothing is drawn yet");
    return answer;
  }

  /* Places of the nodes, each followed by all that it called. */
  function inOrder(parents) {
    const children = new Map();
    parents.forEach((parent, at) => children.set(parent, [...(children.get(parent) || []), at]));
    const order = [];
    const waiting = [...(children.get(-1) || [])].reverse();
    while (waiting.length) {
      const at = waiting.pop();
      order.push(at);
      waiting.push(...[...(children.get(at) || [])].reverse());
    }
    return order;
  }

  function depthsOf(parents) {
    const depths = [];
    for (const parent of parents) depths.push(parent < 0 ? 0 : depths[parent] + 1); // a parent comes first
    return depths;
  }

  function codeRows({ nodes, frames, measure, unit }) {
    const depths = depthsOf(nodes.parent);
    const ns = unit === "ns";
    const size = (value) => (known(value) ? (ns ? value / 1e6 : value) : null);
    const rows = inOrder(nodes.parent).map((at) => [
      frames[nodes.frame[at]].label, depths[at], size(nodes.self[at]), size(nodes.total[at]), nodes.samples[at],
    ]);
    const named = ns ? `${measure}, ms` : measure;
    return { columns: ["Function", "Depth", `Self ${named}`, `Total ${named}`, "Samples"], rows, note: "" };
  }

  function phaseRows({ ids, labels, parents, values, counts }) {
    const places = new Map(ids.map((id, at) => [id, at]));
    const above = parents.map((parent) => (places.has(parent) ? places.get(parent) : -1));
    const depths = depthsOf(above);
    const rows = inOrder(above).map((at) => [labels[at], depths[at], values[at], counts[at]]);
    return { columns: ["Phase", "Depth", "Total, ms", "Requests"], rows, note: "" };
  }

  const flameRows = () => (shown().view === "phases" ? phaseRows(shown()) : codeRows(shown()));

  /* Every row of it, as wide as on the screen; callers above callees. */
  function flameExtent() {
    shown();
    const charts = [...pyrometer.flame.page.panel().charts()].reverse();
    const width = Math.max(320, charts[0].scroll.clientWidth);
    return { charts, width, height: charts.reduce((sum, chart) => sum + chart.picture(null, width) + 8, 0) };
  }

  function drawFlame(pen, { charts, width }) {
    let top = 0;
    for (const chart of charts) {
      pen.save();
      pen.translate(0, top);
      top += chart.picture(pen, width) + 8;
      pen.restore();
    }
  }

  function flamePicture(scale) {
    const extent = flameExtent();
    if (extent.height * scale > MAX_SIDE_PX) throw new Error("the graph is too deep for one picture; zoom into a part of it");
    const canvas = element("canvas");
    Object.assign(canvas, { width: extent.width * scale, height: extent.height * scale });
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    drawFlame(pen, extent);
    return canvas;
  }

  function flameSvg() {
    const extent = flameExtent();
    const pen = pyrometer.svgPen(extent.width, extent.height);
    drawFlame(pen, extent);
    return pen.text();
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    pyrometer.pictures.provide("panel-heat", { svg: () => pyrometer.heat.svg(), rows: heatRows });
    pyrometer.pictures.provide("panel-flame", { png: flamePicture, svg: flameSvg, rows: flameRows });
  });
})();
