/* One cursor for all time charts: the second under the pointer, every series' exact value.

   Without a pointer the read-outs show the newest values. Arrow keys move the cursor by one
   second or step, with Shift by ten; Escape puts it away. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element } = pyrometer.dom;
  const { figure, known } = pyrometer.format;
  const EVENT_NEAR_S = 4;
  let at = null; // seconds of the server's clock, or null

  /* The row nearest to that second, or null where none is within a step. */
  function rowAt(source, seconds) {
    let best = null;
    for (const row of source.rows) {
      if (best === null || Math.abs(row[0] - seconds) < Math.abs(best[0] - seconds)) best = row;
    }
    return best && Math.abs(best[0] - seconds) <= (source.stepS || 1) / 2 + 1 ? best : null;
  }

  function newestRow(source, shift = 0) {
    const rows = pyrometer.charts.rowsShown(source, shift);
    return rows.length ? rows[rows.length - 1] : null;
  }

  function item(label, value, unit, colour) {
    const node = element("span", "readout-item");
    if (colour) {
      const swatch = element("i", "swatch");
      swatch.style.background = colour;
      node.append(swatch);
    }
    node.append(`${label} `, element("b", "", figure(value, unit)));
    if (unit === "%" && known(value)) node.append(" %");
    return node;
  }

  function eventNear(seconds) {
    const near = pyrometer.history.events().filter(
      (event) => Math.abs(event.t - seconds) <= EVENT_NEAR_S,
    );
    return near.length ? near[near.length - 1] : null;
  }

  function valueOf(row, column) {
    return row && column > 0 ? row[column] : null;
  }

  /* The period before at the same place, beside its line. */
  function earlier(chart, trace) {
    const before = pyrometer.charts.previousOf(chart);
    if (!before) return null;
    const row = at === null ? newestRow(before, before.shift) : rowAt(before, at - before.shift);
    return { value: valueOf(row, before.columns.indexOf(trace.meta.column)) };
  }

  function readOut(chart, state) {
    const source = pyrometer.charts.sourceOf(chart);
    const row = at === null ? newestRow(source) : rowAt(source, at);
    const { unit, extras } = chart.gd.layout.meta;
    const tokens = pyrometer.charts.theme().tokens;
    const columns = pyrometer.charts.columnsOf(chart, source);
    const parts = [];
    if (at !== null) {
      const event = eventNear(at);
      if (event) parts.push(element("span", "event", event.text));
      parts.push(element("time", "", pyrometer.time.moment(at)));
    }
    chart.gd.data.forEach((trace, index) => {
      if (trace.meta.area) return;
      if (trace.type === "heatmap") {
        for (const [label, value] of pyrometer.cores.inWords(source, row)) parts.push(item(label, value, unit));
        return;
      }
      const before = trace.meta.previous ? earlier(chart, trace) : { value: valueOf(row, columns[index]) };
      const label = trace.meta.previous ? `${trace.meta.of} before` : trace.name;
      if (before) parts.push(item(label, before.value, unit, tokens[trace.meta.token]));
    });
    for (const extra of extras) {
      parts.push(item(extra.label, valueOf(row, source.columns.indexOf(extra.column)), extra.unit));
    }
    byId(`readout-${chart.name}`).replaceChildren(...parts);
  }

  function show() {
    const state = pyrometer.state;
    if (!state.answer) return;
    const [from, to] = pyrometer.charts.range();
    for (const chart of pyrometer.charts.all.values()) {
      if (!pyrometer.charts.onPage(chart)) continue;
      const line = chart.el.querySelector(".chart-cursor");
      const ms = at === null ? null : pyrometer.charts.axisTime(at);
      line.hidden = ms === null || ms < from || ms > to;
      if (!line.hidden) line.style.left = `${pyrometer.charts.place(chart, ms)}px`;
      readOut(chart, state);
    }
  }

  let queued = false;
  function move(seconds) {
    at = seconds;
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      show();
    });
  }

  function pointed(event) {
    const el = event.target.closest("[data-chart]");
    const chart = el && pyrometer.charts.all.get(el.dataset.chart);
    if (!chart) return at === null ? undefined : move(null);
    const { margin } = chart.gd.layout.meta;
    const box = el.getBoundingClientRect();
    const share = (event.clientX - box.left - margin.l) / (box.width - margin.l - margin.r);
    if (share < 0 || share > 1) return move(null);
    const [from, to] = pyrometer.charts.range();
    return move(Math.round(pyrometer.charts.fromAxis(from + share * (to - from))));
  }

  function pressed(event) {
    if (!event.target.matches || !event.target.matches("[data-chart]")) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === "Escape") return move(null);
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [from, to] = pyrometer.charts.range().map(pyrometer.charts.fromAxis);
    const start = at === null ? Math.round(to) : at;
    const { stepS } = pyrometer.charts.sourceOf(pyrometer.charts.all.get(event.target.dataset.chart));
    const moved = start + steps[event.key] * (event.shiftKey ? 10 : 1) * (stepS || 1);
    move(Math.min(Math.round(to), Math.max(Math.round(from), moved)));
  }

  (pyrometer.drawers = pyrometer.drawers || []).push(show);
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    document.addEventListener("pointermove", pointed, { passive: true });
    document.addEventListener("pointerdown", pointed, { passive: true });
    document.documentElement.addEventListener("pointerleave", () => move(null));
    document.addEventListener("keydown", pressed);
  });
})();
