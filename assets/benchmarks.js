/* A benchmark in words: its verdict, what was asked, where two runs differ, the command that
   repeats it. All of it plain text. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { number, count, percent, bytes, clock, day, plural, known } = pyrometer.format;
  const LONGEST = 160; // characters of a name or a reason
  const MOST_DIFFERENCES = 12;
  const SPEC_WORDS = {
    model: "model", version: "version", url: "target", loop: "load", arrivals: "arrivals", rate_per_s: "rate", connections: "connections",
    seconds: "length", warmup_s: "warm-up", timeout_s: "time-out", "payload.source": "payload", "payload.rows": "different bodies",
    "payload.speed": "speed of replay", "payload.cache": "cached answers", "payload.path": "payload's file", seed: "seed", generator: "generator",
  };

  const cut = (text, most = LONGEST) => {
    const whole = text === null || text === undefined ? "" : String(text);
    return whole.length > most ? `${whole.slice(0, most - 1)}…` : whole;
  };
  const part = (value) => (value && typeof value === "object" ? value : {});
  const figures = (run) => part(run.latency_ms);
  /* 4,998 or 0.25: a rate is counted, unless it is small. */
  const rate = (value) => (known(value) && value < 100 ? number(value) : count(value));
  /* As it was asked: 20, 0.5. */
  const given = (value) => (known(value) ? Number(value.toPrecision(6)).toLocaleString("en-US") : "–");
  const errorPercent = (run) => (run.requests > 0 ? (100 * (run.errors || 0)) / run.requests : null);
  const nameOf = (run) => cut(run.name || part(run.spec).model || run.model || "a run", 80);
  const at = (spec, key) => key.split(".").reduce((value, name) => part(value)[name], spec);

  function slo(spec) {
    const { p99_ms: p99, error_percent: errors } = part(part(spec).slo);
    const parts = [];
    if (known(p99)) parts.push(`p99 of ${given(p99)} ms`);
    if (known(errors)) parts.push(`${given(errors)} % errors`);
    return parts.join(" and ");
  }

  /* true, false, or null where there is no objective or nothing to judge. */
  function within({ p99_ms: p99, error_percent: errors }, found, failed) {
    if (!known(p99) && !known(errors)) return null;
    if ((known(p99) && !known(found)) || !known(failed)) return null;
    return (!known(p99) || found <= p99) && (!known(errors) || failed <= errors);
  }

  const held = (run) => within(part(part(run.spec).slo), figures(run).p99, errorPercent(run));

  function speed(run) {
    const spec = part(run.spec);
    const p99 = `p99 ${number(figures(run).p99)} ms`;
    if (known(run.requested_per_s)) return `${p99} at ${rate(run.requested_per_s)} requests/s asked, ${rate(run.achieved_per_s)} achieved`;
    return `${p99} at ${rate(run.achieved_per_s)} requests/s over ${plural(spec.connections, "connection")}`;
  }

  function rampWords(run) {
    const within = slo(run.spec) || "its objective";
    const highest = rate(run.highest_within_slo_per_s);
    if (run.rose_to_the_end) return `At least ${highest} requests/s within ${within}: the ramp ended there`;
    if (known(run.highest_within_slo_per_s)) return `${highest} requests/s is the highest rate within ${within}`;
    return `No step of the ramp was within ${within}`;
  }

  /* {status, text, detail} of a stored run. */
  function verdict(run) {
    const failed = errorPercent(run);
    const errors = failed > 0 ? `, ${percent(failed)} % errors` : "";
    const said = run.steps ? rampWords(run) : `${speed(run)}${errors}`;
    if (!run.valid) {
      const why = cut(run.invalid_because || "no reason was stored", 300);
      if (run.cancelled) return { status: "warning", text: `Cancelled: ${why.replace(/^it was cancelled after/, "after")}`, detail: run.requests ? `Not a result to quote: ${said}.` : "" };
      return { status: "critical", text: `Invalid: ${why}`, detail: `Not a result to quote: ${said}.` };
    }
    if (!run.requests) return { status: "warning", text: "Nothing was measured", detail: "" };
    const kept = run.steps ? null : held(run);
    const objective = kept === null ? "" : `${kept ? "Within" : "Over"} the objective, ${slo(run.spec)}.`;
    const status = kept === false || (run.steps && !known(run.highest_within_slo_per_s)) ? "warning" : "ok";
    return { status, text: `${said}; valid`, detail: [objective, loopNote(run)].filter(Boolean).join(" ") };
  }

  const loopNote = (run) => (part(run.spec).loop === "closed"
    ? "Closed loop: a stall of the server stops the sending too, so that it hides in these percentiles."
    : "Latency counts from when each request should have been sent.");

  /* "open loop, 5,000 requests/s, Poisson arrivals": of a specification or a summary. */
  function asked(spec) {
    const ramp = spec.ramp;
    if (spec.kind === "optimization") return "each form of the models, before and after";
    if (ramp) return `ramp from ${rate(ramp.from_per_s)} to ${rate(ramp.to_per_s)} requests/s in ${plural(ramp.steps, "step")} of ${given(ramp.step_s)} s`;
    if (spec.loop === "closed") return `closed loop, ${plural(spec.connections, "connection")}`;
    const arrivals = spec.arrivals === "poisson" ? "Poisson arrivals" : "constant arrivals";
    return known(spec.rate_per_s) ? `open loop, ${rate(spec.rate_per_s)} requests/s, ${arrivals}` : "open loop, captured traffic at its own times";
  }

  /* stored: what the load lab says of it. */
  function payload(spec, stored) {
    const { source, rows, cache } = part(spec.payload);
    const kind = { samples: "the model's rows", file: "a file", traffic: "captured traffic" }[source] || cut(source, 40) || "unknown payload";
    const what = typeof stored === "string" && stored ? cut(stored) : `${kind}${known(rows) ? `, at most ${count(rows)} different` : ""}`;
    return `${what}; ${cache ? "cached answers allowed" : "caches off"}`;
  }

  function machine(run) {
    const { cpus, cpu, memory_bytes: memory, system, python } = part(run.machine);
    return [cpu && `${known(cpus) ? `${cpus} × ` : ""}${cut(cpu, 60)}`, known(memory) && bytes(memory), system && cut(system, 60), python && `Python ${cut(python, 20)}`]
      .filter(Boolean).join(", ") || "not stored";
  }

  /* A plus at its end: with changes that were not committed. */
  const commit = (run) => {
    const text = String(run.commit || "");
    return text ? `${text.slice(0, 12)}${text.endsWith("+") ? ", with changes" : ""}` : "not stored";
  };
  const when = (run) => (known(run.started) ? `${day(run.started)} ${clock(run.started)}` : "not stored");
  const took = (run) => (known(run.ended) && known(run.started) ? `${number(run.ended - run.started)} s` : "");

  /* [name, value] of what the run was, for the list of facts and for its data. */
  function facts(run) {
    const spec = part(run.spec);
    return [
      ["Model", cut(spec.version ? `${spec.model}, version ${spec.version}` : spec.model || "from the traffic")],
      ["Load", asked(spec)],
      ["Connections", `${count(spec.connections)}, ${took(run)} in all`],
      ["Length", spec.ramp ? `${given(spec.ramp.step_s)} s a step` : `${given(spec.seconds)} s after ${given(spec.warmup_s || 0)} s of warm-up`],
      ["Payload", payload(spec, run.payload)],
      ["Target", cut(spec.url || "")],
      ["Machine", machine(run)],
      ["Commit", commit(run)],
    ];
  }

  // Two runs

  function ofObjects(label, one, other) {
    const names = [...new Set([...Object.keys(part(one)), ...Object.keys(part(other))])].sort();
    return names.filter((name) => JSON.stringify(part(one)[name]) !== JSON.stringify(part(other)[name]))
      .map((name) => `${label} ${cut(name, 60).replace("_bytes", "")}: ${told(part(one)[name])} here, ${told(part(other)[name])} there`);
  }

  const told = (value) => cut(value === undefined || value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : typeof value === "boolean" ? (value ? "yes" : "no") : String(value), 80);

  /* What differs between two runs, but their results, as sentences. */
  function differences(run, other) {
    const found = [];
    if (JSON.stringify(run.machine) !== JSON.stringify(other.machine)) {
      found.push(...ofObjects("Another machine,", run.machine, other.machine));
    }
    if (run.commit !== other.commit) found.push(`Another commit: ${commit(run)} here, ${commit(other)} there`);
    found.push(...ofObjects("Another version of", run.versions, other.versions));
    for (const [key, words] of Object.entries(SPEC_WORDS)) {
      const [one, two] = [at(run.spec, key), at(other.spec, key)];
      if (JSON.stringify(one) !== JSON.stringify(two)) found.push(`Another ${words}: ${told(one)} here, ${told(two)} there`);
    }
    if (JSON.stringify(part(run.spec).ramp) !== JSON.stringify(part(other.spec).ramp)) found.push("Another ramp");
    for (const one of [run, other]) if (!one.valid) found.unshift(`${nameOf(one)} of ${when(one)} is invalid: ${cut(one.invalid_because)}`);
    const more = found.length - MOST_DIFFERENCES;
    return more > 0 ? [...found.slice(0, MOST_DIFFERENCES), `${count(more)} more differences`] : found;
  }

  Object.assign(benchmarks, {
    words: { cut, part, figures, rate, errorPercent, nameOf, at, slo, within, verdict, asked, facts, differences, when, took, commit },
  });
})();
