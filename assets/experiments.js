/* An experiment in words: its state, its verdict, what to press, what it was asked. All of it
   plain text.

   pyrometer.experiments.words.told(experiment) -> {status, text, detail, lines, press, trusted}
     text: the verdict in a sentence; lines: [{status, text}], a sentence each where several
     candidates take part; press: [{action, candidate}] that the verdict speaks for */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { number, count, clock, day, plural, duration, known } = pyrometer.format;
  const LONGEST = 160; // characters of a name or a reason
  const STATES = {
    draft: { status: "unknown", word: "draft" },
    running: { status: "ok", word: "running" },
    finished: { status: "ok", word: "finished" },
    stopped: { status: "warning", word: "stopped" },
    promoted: { status: "ok", word: "promoted" },
    rolled_back: { status: "unknown", word: "rolled back" },
  };
  const GUARDS = { errors: "errors", p99: "p99", disagreement: "answers that differ" };
  const SPEEDS = { slower: "warning", faster: "ok", mixed: "warning" };
  const ORDER = ["p95", "p99", "p50", "mean"]; // which figure stands for a verdict
  const TIMES = 3; // from this ratio on "4 times" says more than "300 %"

  const cut = (text, most = LONGEST) => {
    const whole = text === null || text === undefined ? "" : String(text);
    return whole.length > most ? `${whole.slice(0, most - 1)}…` : whole;
  };
  const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
  const part = (value) => (value && typeof value === "object" ? value : {});
  const list = (value) => (Array.isArray(value) ? value : []);
  const nameOf = (e) => cut(e.name || "an experiment", 80);
  const variantsOf = (e) => list(e.variants);
  const controlOf = (e) => variantsOf(e).find((one) => one.role === "control") || { name: "control", text: "" };
  const candidatesOf = (e) => variantsOf(e).filter((one) => one.role !== "control");
  const when = (seconds) => (known(seconds) ? `${day(seconds)} ${clock(seconds)}` : "");
  const can = (e, action) => list(e.actions).includes(action);
  const isGuard = (e) => Boolean(e.stopped_by && e.stopped_by in GUARDS);

  function stateOf(e) {
    const { status, word } = STATES[e.state] || { status: "unknown", word: cut(e.state, 20) };
    if (e.state === "stopped" && isGuard(e)) return { status: "critical", word: "stopped" };
    return { status, word };
  }

  // Figures

  const rounded = (value) => {
    const size = Math.abs(value);
    return size >= 9.95 ? String(Math.round(value)) : value.toFixed(size >= 0.095 || size === 0 ? 1 : 2).replace(/\.0$/, "");
  };
  const signed = (value) => `${value > 0 ? "+" : ""}${rounded(value)}`.replace("-", "−");
  const share = (value) => (known(value) ? rounded(value).replace("-", "−") : "–");

  /* "p95 24 % (19 to 29 %)", in the sense of a word: slower, faster, or "" with signs. */
  function change(row, word) {
    const { figure, ratio, ratio_low: low, ratio_high: high } = row;
    const bounded = known(low) && known(high);
    if (!known(ratio)) return `${figure}: no data`;
    const up = word === "slower";
    if ((up && ratio >= TIMES) || (word === "faster" && ratio <= 1 / TIMES)) {
      const [a, b] = up ? [low, high] : [1 / high, 1 / low];
      const between = bounded ? ` (${number(a)} to ${number(b)})` : "";
      return `${figure} ${number(up ? ratio : 1 / ratio)} times ${up ? "control's" : "as fast"}${between}`;
    }
    const turn = word === "faster" ? -1 : 1;
    const [a, b] = [low, high].map((value) => 100 * turn * (value - 1)).sort((one, other) => one - other);
    const plain = word && (!bounded || a >= 0);
    const show = plain ? rounded : signed;
    return `${figure} ${show(100 * turn * (ratio - 1))} %${bounded ? ` (${show(a)} to ${show(b)} %)` : ""}`;
  }

  const rowsOf = (e, candidate) => list(part(e.results).comparisons).filter((row) => row.candidate === candidate);
  const first = (rows) => [...rows].sort((one, other) => ORDER.indexOf(one.figure) - ORDER.indexOf(other.figure))[0];

  function speed(e, candidate, word) {
    const rows = rowsOf(e, candidate);
    const of = (verdict) => first(rows.filter((row) => row.verdict === verdict));
    if (word === "mixed") {
      const parts = ["faster", "slower"].filter(of).map((verdict) => `${verdict} at ${change(of(verdict), verdict)}`);
      return `is ${parts.join(" but ")}`;
    }
    if (word === "slower" || word === "faster") return of(word) ? `is ${word}: ${change(of(word), word)}` : `is ${word}`;
    if (word === "too few data") return "has too few data for a verdict";
    const row = of("no difference found");
    return `is neither faster nor slower as far as can be told${row ? `: ${change(row, "")}` : ""}`;
  }

  const agreementOf = (e, candidate) => list(part(e.results).agreement).find((one) => one.candidate === candidate);

  /* {agrees: true | false | null, text} of a candidate's answers. */
  function agreement(e, candidate) {
    const found = agreementOf(e, candidate);
    if (!found || !(found.rows > 0)) return { agrees: null, text: found && found.failed ? `${plural(found.failed, "run")} of it failed, none could be compared` : "its answers were not compared" };
    if (!found.rows_differing) return { agrees: true, text: "its answers agree" };
    return { agrees: false, text: `its answers differ in ${share(found.differing_percent)} % of the rows (${share(found.low_percent)} to ${share(found.high_percent)} %)` };
  }

  // Sentences

  /* What to do about a candidate, in two words or three. */
  function advice(e, candidate, word, agrees) {
    const running = e.state === "running";
    if (["promoted", "rolled_back"].includes(e.state)) return "";
    const alone = candidatesOf(e).length === 1; // else a stop ends the others too
    if (word === "slower" || word === "mixed") return !running ? "keep control" : alone ? "stop it" : "do not promote it";
    if (agrees === false) return can(e, "promote") ? "look at where they differ before you promote it" : "";
    if (word === "faster" && can(e, "promote")) return "promote it";
    if (word === "too few data") return running ? "let it run" : "run it for longer";
    return running ? "let it run, or stop it" : "keep control, or promote it for another reason";
  }

  function stoppedWords({ name, stopped }) {
    const reason = cut(stopped.reason, 240).replace(/^guard rail [^:]+: [^:]+: /, "");
    return `${cut(name, 40)} was stopped by the guard rail on ${GUARDS[stopped.by] || cut(stopped.by, 30)}${reason ? `: ${reason}` : ""}`;
  }

  function sentence(e, { candidate, verdict }) {
    const name = cut(candidate, 40);
    const variant = candidatesOf(e).find((one) => one.name === candidate);
    if (verdict === "stopped") return { status: "critical", press: null, text: variant && variant.stopped ? stoppedWords(variant) : `${name} was stopped by a guard rail` };
    const { agrees, text } = agreement(e, candidate);
    const but = agrees === false && verdict !== "slower" && verdict !== "mixed";
    const what = advice(e, candidate, verdict, agrees);
    const status = agrees === false && verdict !== "too few data" ? "warning" : SPEEDS[verdict] || "unknown";
    const press = { "stop it": { action: "stop" }, "promote it": { action: "promote", candidate } }[what] || null;
    return { status, press, text: `${name} ${speed(e, candidate, verdict)}, ${but ? "but" : "and"} ${text}${what ? `; ${what}` : ""}` };
  }

  const verdicts = (e) => list(part(e.results).verdict).filter((one) => one && one.candidate).map((one) => sentence(e, one));

  function hidden(e) {
    const { requests, needed } = part(e.progress);
    const { count: blocks, seconds } = part(part(e.results).blocks);
    if (known(needed) && requests >= needed) return `Each variant has answered ${count(needed)} requests; the verdict waits for more stretches of time: ${count(blocks)} of ${seconds} s so far`;
    return `Hidden until each variant has answered ${count(needed)} requests: ${count(requests)} so far`;
  }

  /* What the guard rails and comparisons say meanwhile. */
  function meanwhile(e, withAnswers = true) {
    const guards = list(part(e.results).guards).filter((one) => one.state !== "off");
    const many = guards.length;
    const few = guards.filter((one) => one.state === "too few data").length;
    const within = many - few;
    let rails = few ? `${within} of ${many} guard rails ${within === 1 ? "is within its limit" : "are within their limits"}, ${few === 1 ? "the other has" : "the others have"} too few data yet` : "All guard rails are within their limits";
    if (!many) rails = "No guard rail is set";
    else if (guards.some((one) => one.state === "stopped")) rails = "";
    else if (few === many) rails = "The guard rails have too few data yet";
    const answers = candidatesOf(e).map((one) => `${cut(one.name, 40)}: ${agreement(e, one.name).text}`).join("; ");
    return [rails, withAnswers && answers].filter(Boolean).map((words) => `${words}.`).join(" ");
  }

  function ended(e) {
    const control = cut(controlOf(e).name, 40);
    const blamed = cut(e.blamed || "the candidate", 40);
    if (e.state === "promoted") return { status: "ok", text: `${cut(e.promoted, 40)} serves ${cut(e.model, 80)}` };
    if (e.state === "rolled_back") return { status: "unknown", text: `Rolled back: ${control} serves ${cut(e.model, 80)}` };
    if (isGuard(e)) return { status: "critical", text: `${blamed} was stopped by the guard rail on ${GUARDS[e.stopped_by]}; ${control} answers everybody` };
    if (e.stopped_by === "changed") return { status: "warning", text: `Stopped: what is behind a variant has changed; ${control} answers everybody` };
    if (e.state === "stopped") return { status: "warning", text: `Stopped by hand; ${control} answers everybody` };
    return { status: "ok", text: `Finished: each variant has answered ${count(part(e.progress).needed)} requests; ${control} answers everybody` };
  }

  function ofRunning(e, found) {
    if (!part(e.results).visible) {
      const out = candidatesOf(e).filter((one) => one.stopped).map((one) => ({ status: "critical", text: `${stoppedWords(one)}; its callers get ${cut(controlOf(e).name, 40)} again` }));
      return { status: out.length ? "warning" : "unknown", text: hidden(e), detail: meanwhile(e), lines: out };
    }
    const many = found.length > 1;
    if (!found.length) return { status: "unknown", text: "Running; the figures are being computed", detail: meanwhile(e), lines: [] };
    const text = many ? `${plural(found.length, "candidate")} beside ${cut(controlOf(e).name, 40)}; valid whenever you look` : found[0].text;
    return { status: many ? worst(found) : found[0].status, text, detail: meanwhile(e, false), lines: many ? found : [] };
  }

  const worst = (found) => ["critical", "warning", "unknown", "ok"].find((status) => found.some((one) => one.status === status)) || "unknown";

  function ofEnded(e, found) {
    const end = ended(e);
    const { requests, needed } = part(e.progress);
    const early = known(needed) && requests < needed ? `It ended after ${count(requests)} of ${count(needed)} requests each: there is no verdict, the figures are for reference.` : "";
    const reason = capital(cut(e.reason, 300).replace(/\.$/, ""));
    if (part(e.results).computing && !found.length && e.state === "finished") return { ...end, detail: "The verdict is being computed.", lines: [] };
    const loud = end.status === "critical" || e.state === "promoted" || e.state === "rolled_back" || e.stopped_by === "changed";
    if (loud || !found.length) return { ...end, detail: [reason && `${reason}.`, early].filter(Boolean).join(" "), lines: found };
    if (found.length > 1) return { ...end, detail: early, lines: found };
    return { ...found[0], detail: `${end.text}.${early ? ` ${early}` : ""}`, lines: [] };
  }

  function ofDraft(e) {
    const names = candidatesOf(e).map((one) => cut(one.name, 40)).join(", ");
    const text = `Not started: ${names} beside ${cut(controlOf(e).name, 40)} on ${cut(e.model, 80)}; start it`;
    return { status: "unknown", text, detail: "Nothing is measured and nobody is answered otherwise until it starts.", lines: [] };
  }

  function told(e) {
    const found = verdicts(e);
    const plain = e.state === "draft" ? ofDraft(e) : e.state === "running" ? ofRunning(e, found) : ofEnded(e, found);
    const split = part(part(e.results).split);
    const press = found.map((line) => line.press).filter(Boolean);
    if (!split.mismatch) return { ...plain, press, trusted: true };
    const text = "Do not trust these results: the callers are not split as intended";
    const detail = `${capital(cut(split.text, 300))}. Without that it would read: ${plain.text}.`;
    return { status: "critical", text, detail, lines: plain.lines, press: [], trusted: false };
  }

  // What it is

  const percentOf = (fraction) => `${Number((100 * fraction).toPrecision(4))} %`;
  const analysis = (e) => {
    const { kind, requests } = part(e.analysis);
    const what = kind === "planned" ? `planned: ${count(requests)} requests of each variant` : "always valid, whenever it is looked at";
    return `${what}, level ${known(e.alpha) ? percentOf(e.alpha) : "–"}`;
  };
  const mode = (e) => (e.mode === "shadow" ? "shadow" : "split");
  const sticky = (e) => (mode(e) === "shadow" ? `shadow: control answers everybody, candidates run beside ${known(e.fraction) ? percentOf(e.fraction) : ""} of the requests`
    : `split, sticky by ${e.header ? `${cut(e.header, 64)}, else by the inputs` : "the inputs"}; answers of ${known(e.fraction) ? percentOf(e.fraction) : "–"} compared`);
  const MEASURED = {
    request: "the whole request at the server", inference: "the model's run, cached answers left out", cpu: "the processor time of the model's run",
  };
  const measure = (e) => MEASURED[e.measure] || cut(e.measure, 40) || "–";

  function length(e) {
    if (!known(e.started)) return "not started";
    return `${when(e.started)}${known(e.running_s) ? `, ${known(e.ended) ? "ran" : "runs for"} ${duration(e.running_s)}` : ""}`;
  }

  /* [name, value] of what was asked. */
  const facts = (e) => [
    ["Model", cut(e.model, 80)],
    ["Control", cut(`${controlOf(e).name}: ${controlOf(e).text}`)],
    ...candidatesOf(e).map((one) => ["Candidate", cut(`${one.name}: ${one.text}`)]),
    ["Mode", sticky(e)], ["Measured", measure(e)], ["Analysis", analysis(e)], ["Started", length(e)],
  ];

  experiments.words = {
    cut, capital, part, list, nameOf, variantsOf, controlOf, candidatesOf, when, can, stateOf, share, rounded, signed, change, agreementOf, told, ended, facts, mode, percentOf, isGuard, GUARDS,
  };
})();
