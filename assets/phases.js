/* The icicle of phases: where the last minute's time went, coloured by own time. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, setText } = pyrometer.dom;
  const { number, plural, plotlyText, known } = pyrometer.format;
  let drawn = "";
  let hovered = false;

  const short = (text, size) => (text.length > size ? `${text.slice(0, size - 1)}…` : text);
  const graph = () => document.querySelector("#chart-phases .js-plotly-plot");

  /* Each node's own time; see components/phases.py for why not the totals. */
  function ownTimes(phases) {
    const total = phases.values.map((value) => (known(value) ? value : 0));
    const own = new Map(phases.ids.map((id, index) => [id, total[index]]));
    phases.parents.forEach((parent, index) => {
      if (own.has(parent)) own.set(parent, own.get(parent) - total[index]);
    });
    return phases.ids.map((id) => Math.max(0, own.get(id)));
  }

  function story(phases, index) {
    const [total, requests] = [phases.values[index], phases.counts[index]];
    const each = requests > 0 ? `, ${number(total / requests)} ms each` : "";
    const share = phases.values[0] > 0 ? (100 * total) / phases.values[0] : 0;
    return [
      plotlyText(short(phases.labels[index], 60)),
      `${number(total)} ms in ${plural(requests, "request")}${each}`,
      `${share.toFixed(1)} % of the time`,
    ].join("<br>");
  }

  function show(gd, phases) {
    Plotly.restyle(gd, {
      ids: [phases.ids],
      labels: [phases.labels.map((label) => plotlyText(short(label, 24)))],
      parents: [phases.parents],
      values: [ownTimes(phases)],
      customdata: [phases.ids.map((_, index) => story(phases, index))],
      "marker.colors": [ownTimes(phases)],
    }, [0]);
  }

  function draw(state) {
    const gd = graph();
    const phases = state.answer.phases || { ids: [] };
    if (!gd || !gd._fullLayout) return;
    if (!gd.dataset.watched) {
      gd.dataset.watched = "yes";
      gd.addEventListener("pointerenter", () => (hovered = true));
      gd.addEventListener("pointerleave", () => (hovered = false));
      paint();
    }
    const blank = !phases.ids.length || !phases.values.some((value) => value > 0);
    const note = byId("empty-phases");
    setText(note, "No requests in the last minute: their phases will appear here");
    note.hidden = !blank;
    const key = JSON.stringify([phases.ids, phases.values]);
    if (blank || hovered || key === drawn) return; // what is being read stays still
    drawn = key;
    show(gd, phases);
    setText(byId("readout-phases"), `${number(phases.values[0])} ms in ${plural(phases.counts[0], "request")}`);
  }

  function paint() {
    const gd = graph();
    if (gd && gd._fullLayout) Plotly.relayout(gd, { template: pyrometer.charts.theme().template });
  }

  pyrometer.phases = { ownTimes, paint };
  pyrometer.pages.add("live", { draw });
})();
