/* What the experiment that is shown has found, panel by panel: rows are kept and changed in place. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, plural, known, clock } = pyrometer.format;
  const { cut, capital, part, list, share, variantsOf, percentOf, GUARDS } = experiments.words;
  const NONE = { slower: "warning", faster: "ok" };
  const GUARD_STATES = { watching: ["ok", "within"], "too few data": ["unknown", "too few data"], stopped: ["critical", "stopped it"], off: ["unknown", "off"] };

  const readout = (name, words) => setText(byId(`readout-experiments-${name}`), words);
  const fill = (kind, items, keyOf, make, write, blank) => pyrometer.tables.fillTables(kind, items, keyOf, make, write, blank);
  const cellOf = (row, name) => row.querySelector(`.col-${name}`);
  const put = (row, name, words) => pyrometer.tables.titled(cellOf(row, name), words);
  const state = () => element("span", "state", [element("span", "mark"), element("span", "state-word")]);
  const mark = (row, status, word) => {
    setStatus(row.querySelector(".mark"), status);
    setText(row.querySelector(".state-word"), word);
  };
  /* make() of a row: [name, label, at the end, content]. */
  const maker = (cells) => () => element("tr", "", cells.map(([name, label, end, content]) => pyrometer.tables.cell(name, content ? content() : "", label, end)));
  const two = () => pyrometer.tables.twoLines();
  const lines = (row, name, one, other) => {
    const [first, second] = cellOf(row, name).children;
    pyrometer.tables.titled(first, one);
    pyrometer.tables.titled(second, other);
  };

  // Figures

  const figureRow = maker([["candidate", "", false, two], ["control", "control, ms", true], ["ms", "candidate, ms", true], ["ratio", "ratio", true], ["p", "p", true], ["verdict", "", false, state]]);

  function fillFigure(row, one) {
    lines(row, "candidate", one.figure, cut(one.candidate, 40));
    put(row, "control", number(one.control_ms));
    put(row, "ms", number(one.candidate_ms));
    put(row, "ratio", experiments.forest.words(one));
    put(row, "p", known(one.p_holm) ? (one.p_holm < 0.001 ? "< 0.001" : one.p_holm.toFixed(3)) : "–");
    cellOf(row, "p").title = known(one.p) ? `${one.p.toPrecision(2)} before the correction` : "";
    mark(row, NONE[one.verdict] || "unknown", one.verdict === "no difference found" ? "no difference" : cut(one.verdict, 40));
    row.querySelector(".state-word").title = one.always_valid ? "Valid whenever it is looked at" : cut(one.verdict, 40);
  }

  function drawFigures(e) {
    const results = part(e.results);
    const rows = list(results.comparisons);
    fill("figures", rows, (row) => `${row.candidate} ${row.figure}`, figureRow, fillFigure, results.visible ? "No figures yet" : "Hidden until the planned end");
    const { count: blocks, seconds, most } = part(results.blocks);
    const kept = known(blocks) && blocks > 0 ? `Times are kept in ${plural(blocks, "block")} of ${seconds} s, of at most ${count(most)}` : "";
    setText(byId("experiments-method"), [capital(cut(results.method, 400)), kept].filter(Boolean).join(". "));
    readout("figures", known(results.computed) ? `computed ${clock(results.computed)}${results.computing ? ", newer ones on their way" : ""}` : "");
  }

  // Agreement

  function agreedNode(one) {
    const tested = one.rows > 0;
    const differ = `${plural(one.rows, "row")} ${one.rows_differing === 1 ? "differs" : "differ"}`;
    const between = `${share(one.differing_percent)} % (${share(one.low_percent)} to ${share(one.high_percent)} %)`;
    const text = `${cut(one.candidate, 40)}: ${tested ? `${count(one.rows_differing)} of ${differ}, ${between}` : "no answers were compared yet"}`;
    const more = [
      known(one.labels_compared) && one.labels_compared > 0 ? `labels: ${count(one.labels_differing)} of ${count(one.labels_compared)} differ` : "",
      known(one.largest_difference) ? `largest difference ${Number(one.largest_difference.toPrecision(3))}` : "",
      one.failed ? `${plural(one.failed, "run")} failed` : "",
    ].filter(Boolean).join(", ");
    const shape = element("span", "mark");
    setStatus(shape, !tested ? "unknown" : one.rows_differing ? "warning" : "ok");
    return element("li", "", [shape, element("div", "", [element("div", "cell-1", text), element("div", "cell-2 muted", more)])]);
  }

  const valueText = (value) => (known(value) ? Number(value.toPrecision(4)) : value === null ? "none" : value);
  const values = (found) => cut(Array.isArray(found) ? found.map(valueText).join(", ") : found === null || found === undefined ? "nothing" : found, 300);
  const exampleRow = maker([["when", "", false, two], ["output", "", false, two], ["control", "control"], ["candidate", "candidate"], ["difference", "by", true]]);

  function fillExample(row, one) {
    lines(row, "when", clock(one.t), cut(one.named, 40));
    lines(row, "output", cut(one.output, 60), `row ${count(one.row)}, inputs ${cut(one.request, 16)}`);
    put(row, "control", values(one.control));
    put(row, "candidate", values(one.candidate));
    put(row, "difference", known(one.difference) ? String(Number(one.difference.toPrecision(3))) : "–");
  }

  const examplesOf = (e) => list(part(e.results).agreement).flatMap((one) => list(one.examples).map((example) => ({ ...example, named: one.candidate })));

  function drawAgreement(e) {
    const found = list(part(e.results).agreement);
    const host = byId("experiments-agreed");
    const key = JSON.stringify(found.map((one) => ({ ...one, examples: null })));
    if (host.dataset.key !== key) host.replaceChildren(...found.map(agreedNode));
    host.dataset.key = key;
    const examples = examplesOf(e);
    const compared = found.some((one) => one.rows > 0);
    fill("agreement", examples, (one) => `${one.named} ${one.request} ${one.row} ${one.output} ${one.t}`, exampleRow, fillExample,
      compared ? "No row differs. Rows that do will be listed here, with both answers." : "Rows in which control and candidate differ will be listed here.");
    readout("agreement", examples.length ? `${plural(examples.length, "example")}, at most 20 of each candidate` : "interval holds at any time");
  }

  // Guard rails

  const WATCHED = { errors: "failed requests beside control's", p99: "times control's p99", disagreement: "rows that differ" };
  const guardRow = maker([["guard", "", false, two], ["state", "", false, state], ["now", "now", true], ["limit", "limit", true], ["count", "requests", true]]);
  const inUnit = (guard, value) => (!known(value) ? "–" : guard === "p99" ? `${number(value)}×` : `${share(100 * value)} %`);

  function fillGuard(row, one) {
    const [status, word] = GUARD_STATES[one.state] || ["unknown", cut(one.state, 20)];
    const what = one.guard === "p99" ? "p99" : capital(GUARDS[one.guard] || cut(one.guard, 30));
    lines(row, "guard", `${what} of ${cut(one.candidate, 40)}`, one.state === "off" ? "off: it stops nothing" : cut(one.text, 200) || WATCHED[one.guard] || "");
    mark(row, status, word);
    row.dataset.state = one.state;
    put(row, "now", inUnit(one.guard, one.value));
    put(row, "limit", known(one.limit) ? (one.guard === "errors" ? `+${percentOf(one.limit)}` : one.guard === "p99" ? `${number(one.limit)}×` : percentOf(one.limit)) : "–");
    put(row, "count", known(one.least) ? count(one.count) : "–");
    cellOf(row, "now").title = known(one.near) ? `At least ${inUnit(one.guard, one.near)}, the end of the interval that is judged` : "";
  }

  function drawGuards(e) {
    const rows = list(part(e.results).guards);
    fill("guards", rows, (row) => `${row.guard} ${row.candidate}`, guardRow, fillGuard, "No guard rail is set: nothing stops it by itself.");
    const stopped = rows.find((row) => row.state === "stopped");
    const on = rows.filter((row) => row.state !== "off").length;
    readout("guards", stopped ? "one has stopped it" : e.state === "running" && on ? `${plural(on, "guard rail")} looked at every second` : "");
  }

  // Split and what ran beside

  const splitRow = maker([["variant"], ["units", "callers", true], ["expected", "intended", true], ["off", "off by", true]]);

  function fillSplit(row, one) {
    put(row, "variant", cut(one.name, 40));
    put(row, "units", count(one.units));
    put(row, "expected", count(one.expected));
    put(row, "off", one.expected > 0 ? `${experiments.words.signed((100 * (one.units - one.expected)) / one.expected)} %` : "–");
  }

  function drawSplit(e) {
    const split = part(part(e.results).split);
    const p = known(split.p) ? ` (p = ${split.p < 0.001 ? split.p.toExponential(1) : split.p.toFixed(3)})` : "";
    const words = split.mismatch ? `Do not trust the results: ${cut(split.text, 300)}` : `${cut(split.text || "too few callers to tell", 300)}${cut(split.text).includes("p =") ? "" : p}`;
    setText(byId("experiments-ratio"), capital(words));
    byId("experiments-ratio").dataset.status = split.mismatch ? "critical" : known(split.p) ? "ok" : "unknown";
    fill("split", list(split.variants), (one) => one.name, splitRow, fillSplit, "Callers will be counted here.");
    const header = split.unit === "inputs" ? "header" : cut(split.unit, 40);
    const more = split.is_sample ? "; callers are a sample" : "";
    readout("split", known(split.units) ? `${count(split.by_header)} requests by ${header}, ${count(split.by_inputs)} by their inputs${more}` : "");
  }

  function drawShadow(e) {
    const shadow = part(part(e.results).shadow);
    const pairs = [
      ["Offered", count(shadow.offered)], ["Compared", count(shadow.compared)], ["Dropped", count(shadow.dropped)],
      ["Waiting", `${count(shadow.queued)} of ${count(shadow.queue_limit)}`], ["Left out", count(shadow.left_out)],
    ];
    experiments.facts(byId("experiments-shadow"), pairs);
    const only = e.mode === "shadow" ? "" : ": they compare the answers only";
    setText(byId("experiments-shadow-words"), capital(`${cut(shadow.text, 200)}. Nobody is answered from these runs${only}.`));
    readout("shadow", known(e.fraction) ? `${percentOf(e.fraction)} of the requests` : "");
  }

  // Variants

  const variantRow = maker([
    ["variant", "", false, two], ["share", "share %", true], ["requests", "requests", true], ["errors", "errors %", true], ["refused", "refused", true],
    ["cached", "cached", true], ["sampled", "timed", true], ["p50", "p50 ms", true], ["p95", "p95 ms", true], ["p99", "p99 ms", true], ["mean", "mean ms", true],
  ]);

  function fillVariant(row, one) {
    lines(row, "variant", `${cut(one.name, 40)}${one.role === "control" && one.name !== "control" ? ", control" : ""}`, cut(one.text));
    put(row, "share", one.shadow ? "–" : percent(known(one.share) ? 100 * one.share : null));
    put(row, "errors", percent(one.error_percent));
    for (const name of ["requests", "refused", "cached", "sampled"]) put(row, name, count(one[name]));
    for (const name of ["p50", "p95", "p99", "mean"]) put(row, name, number(one[`${name}_ms`]));
  }

  const variantRows = (e) => variantsOf(e).map((one, at) => ({ ...one, shadow: e.mode === "shadow", ...part(list(part(e.results).variants)[at]), name: one.name }));

  function drawVariants(e) {
    fill("variants", variantRows(e), (one) => one.name, variantRow, fillVariant, "");
    readout("variants", part(e.results).visible ? "" : "times are hidden until the planned end");
  }

  function draw(e) {
    experiments.forest.draw(e);
    drawFigures(e);
    drawAgreement(e);
    drawGuards(e);
    if (e.mode !== "shadow") drawSplit(e);
    drawShadow(e);
    drawVariants(e);
  }

  experiments.results = { draw, examplesOf, variantRows };
})();
