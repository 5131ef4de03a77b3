/* Two runs beside each other: what differs but their results, and each figure's ratio. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, percent, known } = pyrometer.format;
  const { figures, part, rate, errorPercent, nameOf, when, differences } = benchmarks.words;
  const LATENCIES = [["p50", "p50, ms"], ["p90", "p90, ms"], ["p95", "p95, ms"], ["p99", "p99, ms"], ["p999", "p99.9, ms"], ["max", "max, ms"], ["mean", "mean, ms"]];

  const MANY = 10; // from here on a change is told in times, not in percent

  /* {figure, one, two, show, slower}: slower is what a ratio above 1 means. */
  function rows(run, other) {
    const latencies = LATENCIES.map(([name, title]) => ({
      figure: `Latency ${title}`, one: figures(run)[name], two: figures(other)[name], show: number, words: ["as long", "as long"],
    }));
    return [
      ...latencies,
      { figure: "Service p99, ms", one: part(run.service_ms).p99, two: part(other.service_ms).p99, show: number, words: ["as long", "as long"] },
      { figure: "Server p99, ms", one: part(run.server_ms).p99, two: part(other.server_ms).p99, show: number, words: ["as long", "as long"] },
      { figure: "Achieved, requests/s", one: run.achieved_per_s, two: other.achieved_per_s, show: rate, words: ["as many", "as many"] },
      { figure: "Errors, %", one: errorPercent(run), two: errorPercent(other), show: percent, words: ["as many", "as many"] },
      ...(run.steps || other.steps ? [{ figure: "Highest within, requests/s", one: run.highest_within_slo_per_s, two: other.highest_within_slo_per_s, show: rate, words: ["as many", "as many"] }] : []),
    ];
  }

  const ratioOf = ({ one, two }) => (known(one) && known(two) && two > 0 ? one / two : null);

  function inWords(row) {
    const ratio = ratioOf(row);
    if (ratio === null) return known(row.one) && known(row.two) && row.one === row.two ? "the same" : "no ratio";
    const change = Math.abs(ratio - 1) * 100;
    if (change < 0.5) return "the same within half a percent";
    const long = row.words[0] === "as long";
    if (ratio >= MANY) return `${number(ratio)} times ${long ? "as long" : "as many"} as compared`;
    const word = ratio > 1 ? (long ? "longer" : "more") : long ? "shorter" : "fewer";
    return `${change < 10 ? change.toFixed(1) : Math.round(change)} % ${word} than compared`;
  }

  function newRow() {
    const { cell } = pyrometer.tables;
    return element("tr", "", [
      cell("figure"), cell("this", "", "this run", true), cell("other", "", "compared", true), cell("ratio", "", "ratio", true), cell("words"),
    ]);
  }

  function fillRow(node, row) {
    const ratio = ratioOf(row);
    setText(node.querySelector(".col-figure"), row.figure);
    setText(node.querySelector(".col-this"), row.show(row.one));
    setText(node.querySelector(".col-other"), row.show(row.two));
    setText(node.querySelector(".col-ratio"), ratio === null ? "–" : `${number(ratio)}×`);
    setText(node.querySelector(".col-words"), inWords(row));
  }

  function draw(run, other) {
    const page = byId("benchmarks-page");
    page.dataset.compared = other ? "yes" : "no";
    if (!other) return;
    const found = differences(run, other);
    const same = "The same machine, versions, commit and settings: what differs is the run.";
    byId("benchmarks-differences").replaceChildren(...(found.length ? found : [same]).map((words) => element("li", "", words)));
    byId("benchmarks-differences").dataset.status = found.length ? "warning" : "ok";
    pyrometer.tables.rows(byId("benchmarks-compared-body"), rows(run, other), (row) => row.figure, newRow, fillRow);
    byId("empty-benchmarks-compared").hidden = true;
    benchmarks.readout("compared", `this: ${nameOf(run)}, ${when(run)}; with: ${nameOf(other)}, ${when(other)}`);
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("benchmarks-alone").addEventListener("click", () => pyrometer.url.set({ with: null }, { push: true }));
  });
  benchmarks.compare = { draw };
})();
