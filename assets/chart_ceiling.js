/* Where a few seconds tower over all others, as a cold start does: the axis follows the others, and
   what it cuts off is marked at the top with its value. For charts whose spec says `clips`. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { known, number } = pyrometer.format;
  const LEAST_POINTS = 10;
  const TOWERS = 4; // times as high as all but the highest twentieth
  const HEADROOM = 1.2;
  const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]; // so that the axis does not move each second
  const [MOST_MARKS, MARK_PX] = [8, 72];

  const shown = (trace) => !trace.meta.area && !trace.meta.previous;

  /* [[seconds, the highest of all lines]] of the rows where anything is known. */
  function highest(chart, source) {
    const { columnsOf, rowsShown } = pyrometer.charts;
    const columns = columnsOf(chart, source).filter((column, at) => column > 0 && shown(chart.gd.data[at]));
    return rowsShown(source)
      .map((row) => [row[0], Math.max(...columns.map((at) => (known(row[at]) ? row[at] : -Infinity)))])
      .filter(([, value]) => value > -Infinity);
  }

  function rounded(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return power * STEPS.find((step) => step * power >= value * 0.999999);
  }

  /* The top of the axis in the chart's unit; null where it may follow all that is drawn. */
  function of(chart, source) {
    if (!chart.gd.layout.meta.clips) return null;
    const values = highest(chart, source).map(([, value]) => value).sort((a, b) => a - b);
    if (values.length < LEAST_POINTS) return null;
    const most = values[values.length - 1];
    const kept = values[values.length - 1 - Math.max(1, Math.floor(values.length / 20))];
    return kept > 0 && most > TOWERS * kept ? rounded(HEADROOM * kept) : null;
  }

  /* The y axis as Plotly.update takes it; nothing for charts that do not clip. */
  function axis(chart) {
    if (!chart.gd.layout.meta.clips) return {};
    if (chart.ceiling === null) return { "yaxis.autorange": true };
    return { "yaxis.range": [0, chart.ceiling], "yaxis.autorange": false };
  }

  /* The same, for what is drawn anew anyway. */
  function lay(chart) {
    if (!chart.gd.layout.meta.clips) return;
    const { yaxis } = chart.gd.layout;
    yaxis.autorange = chart.ceiling === null;
    if (chart.ceiling !== null) yaxis.range = [0, chart.ceiling];
  }

  /* Neighbours share a mark: the highest of them. */
  function marks(chart, source) {
    const { axisTime, place } = pyrometer.charts;
    const found = [];
    for (const [seconds, value] of highest(chart, source)) {
      if (value <= chart.ceiling) continue;
      const x = place(chart, axisTime(seconds));
      const last = found.at(-1);
      if (!last || x - last.x >= MARK_PX) found.push({ x, value });
      else last.value = Math.max(last.value, value);
    }
    return found.slice(-MOST_MARKS);
  }

  function draw(chart, source, fragment) {
    if (chart.ceiling === null) return;
    const { margin, unit } = chart.gd.layout.meta;
    const right = chart.el.clientWidth - margin.r;
    for (const { x, value } of marks(chart, source)) {
      const node = element("span", "chart-over num", `▲ ${number(value)} ${unit}`);
      node.style.left = `${Math.max(margin.l, Math.min(x - 4, right - MARK_PX)).toFixed(1)}px`;
      fragment.append(node);
    }
  }

  pyrometer.ceiling = { of, axis, lay, draw };
})();
