/* Time charts: extends the mounted figures, never rebuilds them on a tick.

   Each trace's meta names its column and colour token. What is drawn comes from a source,
   {kind, phase, columns, rows, stepS, generation}: the live buffer where it holds the range
   that is shown, else the history. Only charts on the screen are drawn; the others catch up
   when they come into view. Plotly's date axis knows no time zone, so local times are given
   to it as if they were UTC. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId } = pyrometer.dom;
  const { known } = pyrometer.format;

  const charts = new Map(); // name -> {name, el, gd, drawn, drawnTo, before, shown, visible}
  let themes = null;

  const onPage = (chart) => chart.visible && pyrometer.router.view().contains(chart.el);
  const pause = () => new Promise((next) => setTimeout(next, 0));
  const theme = () => (themes = themes || JSON.parse(byId("themes").dataset.themes))[
    document.documentElement.dataset.theme === "light" ? "light" : "dark"
  ];
  const axisTime = (seconds) =>
    seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60000;
  const fromAxis = (ms) => ms / 1000 + new Date(ms).getTimezoneOffset() * 60;

  function range() {
    const { from, to } = pyrometer.time.range();
    return [axisTime(from), axisTime(to)];
  }

  /* dcc.Graph loads Plotly late and mounts on its own: adopt what has appeared. */
  function adopt() {
    for (const el of document.querySelectorAll("[data-chart]")) {
      const gd = el.querySelector(".js-plotly-plot");
      const have = charts.get(el.dataset.chart);
      if (!gd || !gd._fullLayout || (have && have.gd === gd)) continue;
      const chart = { name: el.dataset.chart, el, gd, drawn: "", drawnTo: 0, before: "", ceiling: null, visible: true };
      charts.set(chart.name, chart);
      gd.on("plotly_relayout", brushed);
      el.addEventListener("dblclick", () => pyrometer.time.range().rolling || pyrometer.time.backToLive());
      watch.observe(el);
      paint(chart);
      if (matchMedia("(pointer: coarse)").matches) Plotly.relayout(gd, { dragmode: false });
    }
  }

  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const chart = charts.get(entry.target.dataset.chart);
      if (!chart) continue;
      chart.visible = entry.isIntersecting;
      if (chart.visible && pyrometer.state.answer) drawChart(chart);
    }
  }, { rootMargin: "120px" });

  // Sources

  function inBuffer({ rolling, seconds, from }) {
    if (rolling) return seconds <= pyrometer.WINDOW_S;
    const first = pyrometer.state.rows[0];
    return Boolean(first) && first[0] <= from + 1;
  }

  /* Where the figures of these columns come from for the range that is shown. */
  function sourceFor(wanted) {
    const { columns, rows, generation } = pyrometer.state;
    if (!wanted.every((name) => columns.includes(name)) || !inBuffer(pyrometer.time.range())) {
      return pyrometer.history.shown();
    }
    return { kind: "live", phase: "ready", problem: "", stepS: 1, columns, rows, generation };
  }

  const sourceOf = (chart) => sourceFor(ownTraces(chart).map((at) => chart.gd.data[at].meta.column));

  /* The history of the period before, for charts that have a line for it; null without. */
  function previousOf(chart) {
    const has = chart.gd.data.some((trace) => trace.meta.previous);
    return has && pyrometer.time.compare() ? pyrometer.history.before() : null;
  }

  const ownTraces = (chart) =>
    chart.gd.data.map((_, at) => at).filter((at) => !chart.gd.data[at].meta.previous);

  function columnsOf(chart, source) {
    return chart.gd.data.map((trace) => source.columns.indexOf(trace.meta.column));
  }

  /* Rows of the range, and one on each side, so that lines run to the edges. */
  function rowsShown(source, shift = 0) {
    const { from, to } = pyrometer.time.range();
    const slack = source.stepS || 1;
    return source.rows.filter((row) => row[0] + shift >= from - slack && row[0] + shift <= to + slack);
  }

  /* Rows as extendTraces and update want them: one x and y array per trace. */
  function series(chart, source, rows, traces, shift = 0) {
    const columns = columnsOf(chart, source);
    const times = rows.map((row) => axisTime(row[0] + shift));
    const y = traces.map((at) => {
      const gap = chart.gd.data[at].meta.area ? 0 : null; // Plotly's fills run across gaps
      return rows.map((row) => (columns[at] > 0 && known(row[columns[at]]) ? row[columns[at]] : gap));
    });
    return { x: y.map(() => times.slice()), y };
  }

  // Drawing

  function drawChart(chart) {
    if (chart.gd._fullLayout.width !== chart.el.clientWidth) Plotly.relayout(chart.gd, { autosize: true });
    const source = sourceOf(chart);
    chart.el.dataset.source = source.phase;
    chart.ceiling = pyrometer.ceiling.of(chart, source);
    drawBefore(chart);
    if (source.kind === "live" && pyrometer.time.range().rolling) drawRolling(chart, source);
    else drawWhole(chart, source);
    chart.shown = range().join();
    pyrometer.notes.draw(chart, source);
  }

  // a restyle of x forgets the axis' type unless it is given along
  const axis = (chart) => ({ "xaxis.type": "date", "xaxis.range": range(), "xaxis.showticklabels": true, "yaxis.showticklabels": true, ...pyrometer.ceiling.axis(chart) });

  /* The live buffer moves on a second at a time: only what is new. */
  function drawRolling(chart, source) {
    const { gd } = chart;
    const { key, seconds } = pyrometer.time.range();
    const most = Math.min(pyrometer.WINDOW_S, seconds + 1);
    const drawn = `${source.kind} ${source.generation} ${key}`;
    const anew = chart.drawn !== drawn;
    const rows = anew ? source.rows : source.rows.filter((row) => row[0] > chart.drawnTo);
    const traces = ownTraces(chart);
    gd.layout.xaxis.range = range(); // taken up by the redraw below: one drawing, not two
    gd.layout.xaxis.autorange = false;
    pyrometer.ceiling.lay(chart);
    if (anew || rows.length >= most) {
      Plotly.update(gd, series(chart, source, source.rows.slice(-most), traces), axis(chart), traces);
    } else if (rows.length) {
      Plotly.extendTraces(gd, series(chart, source, rows, traces), traces, most);
    } else if (chart.shown !== range().join()) {
      Plotly.relayout(gd, { "xaxis.range": range() });
    }
    chart.drawn = drawn;
    if (source.rows.length) chart.drawnTo = source.rows[source.rows.length - 1][0];
  }

  /* A stretch that stays, or comes a step at a time: as a whole, where it has changed. */
  function drawWhole(chart, source) {
    const rows = rowsShown(source);
    const last = rows.length ? rows[rows.length - 1][0] : 0;
    const drawn = [source.kind, source.generation, rows.length, last, range()].join(" ");
    if (chart.drawn === drawn) return;
    chart.drawn = drawn;
    const traces = ownTraces(chart);
    const map = chart.gd.data[0].type === "heatmap";
    const whole = map ? pyrometer.cores.series(source, rows) : series(chart, source, rows, traces);
    Plotly.update(chart.gd, whole, axis(chart), traces);
  }

  /* The period before as one dashed line, moved to where it is compared. */
  function drawBefore(chart) {
    const before = previousOf(chart);
    const drawn = before ? `${before.key} ${before.generation}` : "";
    if (chart.before === drawn) return;
    chart.before = drawn;
    const at = chart.gd.data.findIndex((trace) => trace.meta.previous);
    const rows = before ? rowsShown(before, before.shift) : [];
    const line = before ? series(chart, before, rows, [at], before.shift) : { x: [[]], y: [[]] };
    Plotly.update(chart.gd, line, axis(chart), [at]);
  }

  /* Axis milliseconds -> pixels from the chart's left edge, by the fixed margins. */
  function place(chart, ms) {
    const { margin } = chart.gd.layout.meta;
    const [from, to] = range();
    const width = chart.el.clientWidth - margin.l - margin.r;
    return margin.l + (width * (ms - from)) / (to - from);
  }

  function brushed(change) {
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from === undefined || to === undefined) return;
    const parse = (value) =>
      typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T")}Z`);
    pyrometer.time.set({ from: fromAxis(parse(from)), to: fromAxis(parse(to)) });
  }

  /* The theme's template and each trace's colours by token. */
  function paint(chart) {
    const { template, tokens } = theme();
    const metas = chart.gd.data.map((trace) => trace.meta || {});
    const lines = {
      "line.color": metas.map((meta) => tokens[meta.token] || "rgba(0,0,0,0)"),
      fillcolor: metas.map((meta) => tokens[meta.fill_token] || "rgba(0,0,0,0)"),
    };
    Plotly.update(chart.gd, chart.gd.data[0].type === "heatmap" ? {} : lines, { template });
  }

  function repaint() {
    for (const chart of charts.values()) paint(chart);
  }

  function draw() {
    adopt();
    let turn = Promise.resolve();
    for (const chart of charts.values()) {
      if (!onPage(chart)) continue;
      // one chart a turn: a phone stays responsive while eight are drawn
      turn = turn.then(pause).then(() => onPage(chart) && drawChart(chart));
    }
    turn.catch((fault) => console.error("pyrometer chart:", fault));
  }

  function drawAll() {
    const view = pyrometer.router.view();
    for (const chart of charts.values()) if (view.contains(chart.el)) drawChart(chart);
  }

  pyrometer.charts = {
    all: charts, onPage, range, place, axisTime, fromAxis, columnsOf, sourceFor, sourceOf, previousOf,
    rowsShown, repaint, drawAll, theme,
  };
  (pyrometer.drawers = pyrometer.drawers || []).push(draw);
})();
