/* Time charts: extends the mounted figures, never rebuilds them on a tick.

   Each trace's meta names its column and colour token. Only charts on the screen are drawn;
   the others catch up when they come into view. Plotly's date axis knows no time zone, so
   local times are given to it as if they were UTC. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { figure, known } = pyrometer.format;
  const WINDOW_MS = 600000;
  const LABEL_PX = 14;

  const charts = new Map(); // name -> {name, el, gd, drawnTo, generation, visible}
  let zoom = null; // {from, to} in axis milliseconds while the operator looks at a part
  let themes = null;

  const pause = () => new Promise((next) => setTimeout(next, 0));
  const theme = () => (themes = themes || JSON.parse(byId("themes").dataset.themes))[
    document.documentElement.dataset.theme === "light" ? "light" : "dark"
  ];
  const axisTime = (seconds) =>
    seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60000;
  const fromAxis = (ms) => ms / 1000 + new Date(ms).getTimezoneOffset() * 60;

  function range() {
    if (zoom) return [zoom.from, zoom.to];
    const end = axisTime(pyrometer.latest());
    return [end - WINDOW_MS, end];
  }

  /* dcc.Graph loads Plotly late and mounts on its own: adopt what has appeared. */
  function adopt() {
    for (const el of document.querySelectorAll("[data-chart]")) {
      const gd = el.querySelector(".js-plotly-plot");
      const have = charts.get(el.dataset.chart);
      if (!gd || !gd._fullLayout || (have && have.gd === gd)) continue;
      const chart = { name: el.dataset.chart, el, gd, drawnTo: 0, generation: -1, visible: true };
      charts.set(chart.name, chart);
      gd.on("plotly_relayout", (change) => brushed(chart, change));
      el.addEventListener("dblclick", () => setZoom(null));
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
      if (chart.visible && pyrometer.state.answer) drawChart(chart, pyrometer.state);
    }
  }, { rootMargin: "120px" });

  function columnsOf(chart, state) {
    return chart.gd.data.map((trace) => state.columns.indexOf(trace.meta.column));
  }

  /* The new rows, as extendTraces and restyle want them: one x and y array per trace. */
  function series(chart, state, rows) {
    const times = rows.map((row) => axisTime(row[0]));
    const y = columnsOf(chart, state).map((at, index) => {
      const gap = chart.gd.data[index].meta.area ? 0 : null; // Plotly's fills run across gaps
      return rows.map((row) => (at > 0 && known(row[at]) ? row[at] : gap));
    });
    return { x: y.map(() => times.slice()), y };
  }

  function drawChart(chart, state) {
    const gd = chart.gd;
    const anew = chart.generation !== state.generation;
    const rows = anew ? state.rows : state.rows.filter((row) => row[0] > chart.drawnTo);
    const all = gd.data.map((_, index) => index);
    gd.layout.xaxis.range = range(); // taken up by the redraw below: one drawing, not two
    gd.layout.xaxis.autorange = false;
    if (anew || rows.length >= pyrometer.WINDOW_S) {
      // a restyle of x forgets the axis' type unless it is given along
      const whole = series(chart, state, state.rows.slice(-pyrometer.WINDOW_S));
      Plotly.update(gd, whole, { "xaxis.type": "date", "xaxis.range": range() }, all);
    } else if (rows.length) {
      Plotly.extendTraces(gd, series(chart, state, rows), all, pyrometer.WINDOW_S);
    } else if (!sameRange(chart)) {
      Plotly.relayout(gd, { "xaxis.range": range() });
    }
    chart.shown = range().join();
    chart.generation = state.generation;
    if (state.rows.length) chart.drawnTo = state.rows[state.rows.length - 1][0];
    annotate(chart, state);
  }

  const sameRange = (chart) => chart.shown === range().join();

  function annotate(chart, state) {
    const fragment = document.createDocumentFragment();
    directLabels(chart, state, fragment);
    eventTicks(chart, state, fragment);
    chart.el.querySelector(".chart-labels").replaceChildren(fragment);
    emptyNote(chart, state);
  }

  /* Each line's name at its last value, pushed apart where lines meet. */
  function directLabels(chart, state, fragment) {
    const { margin } = chart.gd.layout.meta;
    const [low, high] = chart.gd._fullLayout.yaxis.range;
    const height = chart.el.clientHeight - margin.t - margin.b;
    const at = columnsOf(chart, state);
    const placed = chart.gd.data.map((trace, index) => {
      const value = trace.meta.area ? null : lastKnown(state, at[index]);
      if (value === null) return null;
      const share = (value - low) / (high - low || 1);
      return { trace, top: margin.t + height * (1 - share) - LABEL_PX / 2 };
    }).filter(Boolean).sort((a, b) => a.top - b.top);
    let floor = margin.t + height - LABEL_PX * placed.length + LABEL_PX / 2;
    let next = -LABEL_PX;
    for (const label of placed) {
      next = Math.max(next, Math.min(label.top, floor));
      const node = element("span", "chart-label", label.trace.name);
      node.style.top = `${next}px`;
      node.style.color = theme().tokens[label.trace.meta.token];
      fragment.append(node);
      next += LABEL_PX;
      floor += LABEL_PX;
    }
  }

  /* The last value of the window shown, so that a pause in traffic keeps its labels. */
  function lastKnown(state, column) {
    const end = zoom ? fromAxis(zoom.to) : Infinity;
    for (let index = state.rows.length - 1; column > 0 && index >= 0; index -= 1) {
      if (state.rows[index][0] > end) continue;
      if (known(state.rows[index][column])) return state.rows[index][column];
    }
    return null;
  }

  /* Axis milliseconds -> pixels from the chart's left edge, by the fixed margins. */
  function place(chart, ms) {
    const { margin } = chart.gd.layout.meta;
    const [from, to] = range();
    const width = chart.el.clientWidth - margin.l - margin.r;
    return margin.l + (width * (ms - from)) / (to - from);
  }

  function eventTicks(chart, state, fragment) {
    const [from, to] = range();
    for (const event of state.answer.events || []) {
      const ms = axisTime(event.t);
      if (ms < from || ms > to) continue;
      const tick = element("span", "event-tick");
      tick.dataset.kind = event.kind;
      tick.style.left = `${place(chart, ms)}px`;
      fragment.append(tick);
    }
  }

  function emptyNote(chart, state) {
    const columns = columnsOf(chart, state);
    const blank = columns.every((at) => lastKnown(state, at) === null);
    const note = chart.el.querySelector(".chart-empty");
    if (chart.name === "latency") pyrometer.showFirstRequest(note, blank, state);
    else {
      if (blank) setText(note, "No figures in the last 10 minutes");
      if (note.hidden === blank) note.hidden = !blank;
    }
  }

  function brushed(chart, change) {
    const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if (from === undefined || to === undefined) return;
    const parse = (value) =>
      typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T")}Z`);
    setZoom({ from: parse(from), to: parse(to) });
  }

  function setZoom(wanted) {
    zoom = wanted && wanted.to - wanted.from > 1000 ? wanted : null;
    const label = zoom
      ? `${pyrometer.format.clock(fromAxis(zoom.from))} to ${pyrometer.format.clock(fromAxis(zoom.to))}`
      : "last 10 minutes";
    setText(byId("window-label"), label);
    byId("window-reset").hidden = !zoom;
    for (const chart of charts.values()) {
      chart.shown = "";
      if (pyrometer.state.answer) drawChart(chart, pyrometer.state);
    }
  }

  /* The theme's template and each trace's colours by token. */
  function paint(chart) {
    const { template, tokens } = theme();
    const metas = chart.gd.data.map((trace) => trace.meta || {});
    Plotly.update(
      chart.gd,
      {
        "line.color": metas.map((meta) => tokens[meta.token] || "rgba(0,0,0,0)"),
        fillcolor: metas.map((meta) => tokens[meta.fill_token] || "rgba(0,0,0,0)"),
      },
      { template },
    );
  }

  function repaint() {
    for (const chart of charts.values()) {
      paint(chart);
      if (pyrometer.state.answer) annotate(chart, pyrometer.state);
    }
  }

  function draw(state) {
    adopt();
    let turn = Promise.resolve();
    for (const chart of charts.values()) {
      if (!chart.visible) continue;
      // one chart a turn: a phone stays responsive while eight are drawn
      turn = turn.then(pause).then(() => drawChart(chart, state));
    }
    turn.catch((fault) => console.error("pyrometer chart:", fault));
  }

  function drawAll() {
    for (const chart of charts.values()) drawChart(chart, pyrometer.state);
  }

  pyrometer.charts = {
    all: charts, range, place, axisTime, fromAxis, columnsOf, repaint, drawAll, theme, figure,
  };
  (pyrometer.drawers = pyrometer.drawers || []).push(draw);
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("window-reset").addEventListener("click", () => setZoom(null));
  });
})();
