/* The data behind the Experiments page's panels, for their menus: as a table, as CSV. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { part, list, told, facts, when, variantsOf, mode } = experiments.words;
  const text = (value) => (value === null || value === undefined ? null : typeof value === "object" ? JSON.stringify(value) : value);

  /* What a panel has of the experiment that is shown; no rows where there is none. */
  const ofOne = (columns, rows) => () => {
    const e = experiments.page.shown();
    return { columns, rows: e ? rows(e, part(e.results)).map((row) => row.map(text)) : [], note: e ? `experiment ${e.id}` : "" };
  };

  function verdict(e) {
    const { text: said, detail, lines } = told(e);
    return [["Verdict", said], ["Detail", detail], ...lines.map((line) => ["Candidate", line.text]), ["Id", e.id], ["State", e.state], ["Reason", e.reason], ...facts(e)];
  }

  const figures = (e, results) => list(results.comparisons).map((row) => [
    row.candidate, row.figure, row.control_ms, row.candidate_ms, row.difference_ms, row.difference_low_ms, row.difference_high_ms,
    row.ratio, row.ratio_low, row.ratio_high, row.p, row.p_holm, row.verdict, row.always_valid ? "at any time" : "at the planned end",
  ]);
  const FIGURES = [
    "Candidate", "Figure", "Control, ms", "Candidate, ms", "Difference, ms", "Difference from, ms", "Difference to, ms",
    "Ratio", "Ratio from", "Ratio to", "p", "p by Holm", "Verdict", "Valid",
  ];

  const AGREEMENT = [
    "Kind", "Candidate", "Rows compared", "Rows that differ", "Differ, %", "From, %", "To, %", "Largest difference",
    "Time, UTC", "Inputs", "Row", "Output", "Control answered", "Candidate answered",
  ];
  const none = (many) => Array(many).fill(null);
  const agreement = (e, results) => [
    ...list(results.agreement).map((one) => ["sum", one.candidate, one.rows, one.rows_differing, one.differing_percent, one.low_percent, one.high_percent, one.largest_difference, ...none(6)]),
    ...experiments.results.examplesOf(e).map((one) => [
      "example", one.named, ...none(5), one.difference, new Date(1000 * one.t).toISOString(), one.request, one.row, one.output, one.control, one.candidate,
    ]),
  ];
  const guards = (e, results) => list(results.guards).map((one) => [one.guard, one.candidate, one.state, one.value, one.near, one.limit, one.count, one.least, one.text]);
  const split = (e, results) => list(part(results.split).variants).map((one) => [one.name, one.units, one.expected, part(results.split).p, part(results.split).text]);
  const shadow = (e, results) => Object.entries(part(results.shadow)).map(([name, value]) => [name.replace("_", " "), value]);
  const variants = (e) => experiments.results.variantRows(e).map((one) => [
    one.name, one.role, one.text, one.shadow ? null : one.share, one.requests, one.errors, one.error_percent, one.refused, one.cached, one.sampled, one.p50_ms, one.p95_ms, one.p99_ms, one.mean_ms,
  ]);

  const PANELS = {
    verdict: ofOne(["Name", "Value"], verdict),
    forest: ofOne(FIGURES, figures),
    figures: ofOne(FIGURES, figures),
    agreement: ofOne(AGREEMENT, agreement),
    guards: ofOne(["Guard rail", "Candidate", "State", "Now", "Near end", "Limit", "Requests", "From requests", "Words"], guards),
    split: ofOne(["Variant", "Callers", "Intended", "p", "Words"], split),
    shadow: ofOne(["Name", "Value"], shadow),
    variants: ofOne(["Variant", "Role", "What", "Share", "Requests", "Errors", "Errors, %", "Refused", "Cached", "Timed", "p50, ms", "p95, ms", "p99, ms", "Mean, ms"], variants),
  };

  function kept() {
    const rows = experiments.page.all().map((e) => [
      e.id, e.name, e.model, mode(e), e.state, part(e.progress).requests, part(e.progress).needed ?? null,
      experiments.page.verdictOf(e) || null, when(e.started) || null, variantsOf(e).map((one) => one.name).join(", "),
    ]);
    return { columns: ["Id", "Name", "Model", "Mode", "State", "Requests", "Needed", "Verdict", "Started", "Variants"], rows, note: "" };
  }

  for (const [name, rows] of Object.entries(PANELS)) pyrometer.pictures.provide(`panel-experiments-${name}`, { rows });
  pyrometer.pictures.provide("panel-experiments-list", { rows: kept });
})();
