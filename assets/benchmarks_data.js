/* The data behind the Benchmarks page's panels, for their menus: as a table, as CSV. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { part, figures, facts, verdict } = benchmarks.words;
  const COLUMNS = {
    t: "Time, s", requested_per_s: "Requested, 1/s", achieved_per_s: "Achieved, 1/s", errors: "Errors", p50_ms: "p50, ms", p95_ms: "p95, ms", p99_ms: "p99, ms",
  };

  /* What a panel has of the run that is shown; no rows where there is none. */
  const ofRun = (columns, rows) => () => {
    const run = benchmarks.page.shown();
    return { columns, rows: run ? rows(run, benchmarks.page.other()) : [], note: run ? `run ${run.id}` : "" };
  };

  function time() {
    const series = benchmarks.page.series() || { columns: Object.keys(COLUMNS), points: [] };
    return { columns: series.columns.map((name) => COLUMNS[name] || name), rows: series.points, note: "" };
  }

  function sides(run) {
    const shares = Object.entries(benchmarks.charts.NAMES);
    return shares.map(([key, name]) => [name, ...benchmarks.charts.SIDES.map(([side]) => part(run[side])[key] ?? null)]);
  }

  function asked(run) {
    const of = (kind, object) => Object.entries(part(object)).map(([name, many]) => [kind, name, many]);
    return [
      ["rate", "requested, 1/s", run.requested_per_s ?? null], ["rate", "achieved, 1/s", run.achieved_per_s ?? null], ["rate", "lag, %", run.lag_percent ?? null],
      ["requests", "all", run.requests], ["requests", "errors", run.errors], ...of("answer", run.statuses), ...of("error", run.error_texts),
    ];
  }

  function distribution(run) {
    const { edges_ms: edges = [], counts = [] } = part(run.histogram);
    return counts.map((many, at) => [edges[at], edges[at + 1] ?? null, many]);
  }

  function percentiles(run, other) {
    const of = (name, one) => benchmarks.charts.curveOf(one).map(([share, ms]) => [name, 100 * share, ms]);
    return [...of("this run", run), ...(other ? of("compared", other) : [])];
  }

  const ramp = (run) => (run.steps || []).map((step) => [
    step.rate_per_s, step.achieved_per_s, step.p50_ms, step.p99_ms, step.error_percent, String(step.within_slo), String(step.valid), step.why || "",
  ]);

  const told = (run) => [
    ["Verdict", verdict(run).text], ["Id", run.id], ...facts(run),
    ...Object.entries(figures(run)).map(([name, ms]) => [`Latency ${name}, ms`, ms]),
    ...Object.entries(part(run.versions)).map(([name, version]) => [`Version of ${name}`, version]),
  ];

  const PANELS = {
    verdict: ofRun(["Name", "Value"], told),
    time,
    sides: ofRun(["Percentile", "From the intended send, ms", "From the real send, ms", "As the server says, ms"], sides),
    asked: ofRun(["Kind", "What", "Value"], asked),
    distribution: ofRun(["From, ms", "To, ms", "Requests"], distribution),
    percentiles: ofRun(["Run", "Percent of the requests", "At most, ms"], percentiles),
    ramp: ofRun(["Rate, 1/s", "Achieved, 1/s", "p50, ms", "p99, ms", "Errors, %", "Within", "Valid", "Why"], ramp),
  };
  for (const [name, rows] of Object.entries(PANELS)) pyrometer.pictures.provide(`panel-benchmarks-${name}`, { rows });
})();
