/* What is written on a time chart: each line's name at its last value, ticks of events, what is
   above the axis, and words where there is nothing to draw. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element, setText } = pyrometer.dom;
  const { known } = pyrometer.format;
  const LABEL_PX = 14;

  /* The last value of the range shown, so that a pause in traffic keeps its labels. */
  function lastKnown(rows, column) {
    for (let index = rows.length - 1; column > 0 && index >= 0; index -= 1) {
      if (known(rows[index][column])) return rows[index][column];
    }
    return null;
  }

  function lastValues(chart, source) {
    const { columnsOf, previousOf, rowsShown } = pyrometer.charts;
    const before = previousOf(chart);
    const own = [columnsOf(chart, source), rowsShown(source)];
    const earlier = before ? [columnsOf(chart, before), rowsShown(before, before.shift)] : null;
    return chart.gd.data.map((trace, at) => {
      const from = trace.meta.previous ? earlier : own;
      return from === null || trace.meta.area ? null : lastKnown(from[1], from[0][at]);
    });
  }

  /* Pushed apart where lines meet. */
  function directLabels(chart, values, fragment) {
    const { margin } = chart.gd.layout.meta;
    const [low, high] = chart.gd._fullLayout.yaxis.range;
    const height = chart.el.clientHeight - margin.t - margin.b;
    const placed = chart.gd.data.map((trace, at) => {
      if (values[at] === null) return null;
      const share = Math.min(1, (values[at] - low) / (high - low || 1)); // above a ceiling: at the top
      return { trace, top: margin.t + height * (1 - share) - LABEL_PX / 2 };
    }).filter(Boolean).sort((a, b) => a.top - b.top);
    let floor = margin.t + height - LABEL_PX * placed.length + LABEL_PX / 2;
    let next = -LABEL_PX;
    for (const label of placed) {
      next = Math.max(next, Math.min(label.top, floor));
      const node = element("span", "chart-label", label.trace.name);
      node.style.top = `${next}px`;
      node.style.color = pyrometer.charts.theme().tokens[label.trace.meta.token];
      fragment.append(node);
      next += LABEL_PX;
      floor += LABEL_PX;
    }
  }

  function eventTicks(chart, fragment) {
    const { axisTime, place, range } = pyrometer.charts;
    const [from, to] = range();
    for (const event of pyrometer.history.events()) {
      const ms = axisTime(event.t);
      if (ms < from || ms > to) continue;
      const tick = element("span", "event-tick");
      tick.dataset.kind = event.kind;
      tick.style.left = `${place(chart, ms)}px`;
      fragment.append(tick);
    }
  }

  function failed(note, source) {
    const again = element("button", "chip", "Try again");
    again.type = "button";
    again.addEventListener("click", () => pyrometer.history.retry(source));
    note.replaceChildren(element("div", "", `The history could not be read: ${source.problem}`), again);
  }

  function emptyNote(chart, source, blank) {
    const note = chart.el.querySelector(".chart-empty");
    const failing = source.phase === "failed";
    const told = failing ? `failed ${source.problem}` : blank && source.phase === "ready" ? "blank" : "";
    if (note.hidden !== !told) note.hidden = !told;
    if (failing && note.dataset.told !== told) failed(note, source);
    note.dataset.told = told;
    if (told !== "blank") return;
    if (chart.name === "latency" && pyrometer.time.range().rolling) pyrometer.showFirstRequest(note, true, pyrometer.state);
    else setText(note, `No figures in this time: ${pyrometer.time.words()}`);
  }

  function draw(chart, source) {
    const fragment = document.createDocumentFragment();
    const values = lastValues(chart, source);
    const map = chart.gd.data[0].type === "heatmap";
    if (!map) directLabels(chart, values, fragment);
    eventTicks(chart, fragment);
    pyrometer.ceiling.draw(chart, source, fragment);
    chart.el.querySelector(".chart-labels").replaceChildren(fragment);
    const blank = map ? !source.rows.length : values.every((value) => value === null);
    emptyNote(chart, source, blank);
  }

  pyrometer.notes = { draw };
})();
