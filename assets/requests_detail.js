/* One request: its phases as a waterfall on one axis, what is known of it, and the code that
   the profiler saw in it.

   The phases of a record never overlap and add up to its duration; they are laid end to end in
   the order of a request's way, for when each began is not recorded. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, bytes, count, clock, day, known, plural } = pyrometer.format;
  const WORDS = {
    front: "guards, routing, headers", decode: "body to tensors", queue: "waiting for its turn", cache: "looking up and keeping",
    load: "a cold model", inference: "the model's run", postprocess: "the answer's own computation", encode: "tensors to bytes",
    compress: "gzip", write: "handing the bytes over", own: "phases that a route named itself", unaccounted: "what no phase accounts for",
  };
  let shown = ""; // request id of what is drawn
  let panel = null;
  let under = null;

  const ms = (value) => `${number(value)} ms`;

  /* [{name, words, ms, from}] of the phases that took time, laid end to end. */
  function steps(one) {
    const given = one.phases_ms || {};
    const names = [...Object.keys(WORDS), ...Object.keys(given).filter((name) => !(name in WORDS))];
    const phases = names.map((name) => [name, given[name]]).filter(([, value]) => known(value) && value > 0);
    let from = 0;
    return phases.map(([name, value]) => {
      const step = { name, words: WORDS[name] || name, ms: value, from };
      from += value;
      return step;
    });
  }

  /* The round step of its axis, ms: at most four of them in the whole. */
  function stepOf(total) {
    const least = total / 4;
    const power = 10 ** Math.floor(Math.log10(least));
    return power * [1, 2, 5, 10].find((step) => step * power >= least * 0.999);
  }

  function axis(total, step) {
    const ticks = Array.from({ length: Math.floor(total / step + 1e-9) + 1 }, (_, at) => {
      const tick = element("span", "waterfall-tick num", (at * step).toLocaleString("en-US", { maximumSignificantDigits: 3 }));
      tick.style.left = `${(100 * at * step) / total}%`;
      return tick;
    });
    return element("div", "waterfall-row waterfall-axis", [
      element("span", "waterfall-name", "ms"), element("span", "waterfall-track", ticks),
      element("span", "waterfall-ms"), element("span", "waterfall-share"),
    ]);
  }

  /* The waterfall with its axis above it, lines of its track at the same places. */
  function scaled(whole, total) {
    if (!(total > 0)) return whole;
    const step = stepOf(total);
    whole.style.setProperty("--waterfall-step", `${(100 * step) / total}%`);
    whole.prepend(axis(total, step));
    return whole;
  }

  function bar(step, total) {
    const fill = element("span", "waterfall-fill");
    const width = total > 0 ? Math.min(100, (100 * step.ms) / total) : 0;
    fill.style.left = `${total > 0 ? Math.min(99.5, (100 * step.from) / total) : 0}%`;
    fill.style.width = `${Math.max(0.5, width)}%`;
    const row = element("li", "waterfall-row", [
      element("span", "waterfall-name", step.name),
      element("span", "waterfall-track", fill),
      element("span", "waterfall-ms num", number(step.ms)),
      element("span", "waterfall-share num", `${width.toFixed(1)} %`),
    ]);
    row.dataset.phase = step.name;
    row.title = step.words;
    return row;
  }

  function waterfall(one) {
    const total = one.duration_ms;
    const list = element("ol", "waterfall-bars", steps(one).map((step) => bar(step, total)));
    const none = Object.entries(one.phases_ms || {}).filter(([name, value]) => value === 0 && name !== "own").map(([name]) => name);
    const own = Object.entries(one.own_phases_ms || {}).map(([name, value]) => `${String(name).slice(0, 80)} ${ms(value)}`);
    const words = [
      "Laid end to end in the order of a request's way.",
      own.length ? `Own phases: ${own.join(", ")}.` : "",
      none.length ? `No time in: ${none.join(", ")}.` : "",
    ].filter(Boolean).join(" ");
    const whole = element("div", "waterfall", [list, element("p", "requests-words", words)]);
    return scaled(whole, total);
  }

  function fact(name, value) {
    return value === null || value === undefined || value === "" ? [] : [element("dt", "", name), element("dd", "num", String(value))];
  }

  function facts(one) {
    const memory = [one.memory_before_mb, one.memory_after_mb].filter(known).map((value) => `${number(value)} MB`).join(" → ");
    const batch = one.batch_rows > one.rows ? ` in a run of ${count(one.batch_rows)}` : "";
    return element("dl", "requests-facts", [
      ...fact("Request id", one.request_id),
      ...fact("Finished", `${day(one.finished_at)} ${clock(one.finished_at)}`),
      ...fact("Status", `${one.status}${one.error ? `, ${one.error}` : ""}`),
      ...fact("Model", one.model ? `${one.model} ${one.version || ""}` : null),
      ...fact("Route", one.endpoint),
      ...fact("Rows", known(one.rows) && one.rows ? `${count(one.rows)}${batch}` : null),
      ...fact("Bytes", known(one.bytes_in) ? `${bytes(one.bytes_in)} in, ${bytes(one.bytes_out)} out` : null),
      ...fact("Form", one.backend ? `${one.backend}${one.degraded ? ", stands in for one that failed" : ""}` : null),
      ...fact("Cache", one.cache),
      ...fact("Model was cold", one.cold_start ? "yes" : null),
      ...fact("CPU", known(one.cpu_percent) ? `${number(one.cpu_percent)} % of the time` : null),
      ...fact("Memory", memory),
      ...fact("Trace", one.trace_id),
    ]);
  }

  const pageOf = (one) => ({ view: "code", request: one.request_id, measure: "wall" });

  function whyNone(one, hz) {
    if (hz === 0) return "the profiler is off; start the server with --profile-hz 29";
    if (!hz) return `it took ${ms(one.duration_ms)}`;
    const every = 1000 / hz;
    if (one.duration_ms > 1.5 * every) return `in its ${ms(one.duration_ms)} no thread was seen at work for it`;
    return `it took ${ms(one.duration_ms)} and the profiler looks every ${number(every)} ms`;
  }

  async function unsampled(one, place) {
    let sampler = flame.captures.held.sampler;
    if (!sampler) sampler = (await flame.captures.look().catch(() => ({}))).sampler;
    if (shown !== one.request_id) return;
    const hz = sampler && sampler.hz;
    place.replaceChildren(element("p", "requests-words", `No samples fell into this request: ${whyNone(one, hz)}.`));
  }

  async function sampled(one, place) {
    const stage = element("div", "flame-panel");
    const note = element("div", "flame-note", "Asking for the samples");
    const params = pageOf(one);
    const link = element("a", "requests-link", "Open as a flame graph page");
    link.href = `/flame-graph?${new URLSearchParams(params)}`;
    const host = element("div", "flame-stage requests-flame", [stage, note]);
    place.replaceChildren(
      element("div", "requests-sub", [element("h3", "", `What ran in it, ${plural(one.profile.samples, "sample")}`), link]), host);
    panel = flame.panel(stage, {
      label: "Flame graph of the request",
      picked: (label) => pyrometer.router.go("/flame-graph", { ...params, focus: label }),
    });
    under = new AbortController();
    const mine = under;
    try {
      const answer = await flame.state.ask(flame.state.address(params), mine.signal);
      if (mine.signal.aborted || shown !== one.request_id) return;
      if (!answer.nodes.parent.length) {
        setText(note, "Its samples are no longer kept.");
        return;
      }
      host.dataset.state = "shown";
      panel.show({ main: flame.model.ofCode(answer) }, { kind: "module", what: "Flame graph of the request, wall time" });
    } catch (failure) {
      if (!mine.signal.aborted) setText(note, `Its samples could not be read: ${failure.message}`);
    }
  }

  function clear(words) {
    if (under) under.abort();
    if (panel) panel.end();
    under = panel = null;
    byId("requests-detail").replaceChildren(element("p", "requests-note", words));
  }

  function draw(one) {
    clear("");
    const place = element("div", "requests-code");
    byId("requests-detail").replaceChildren(
      element("div", "requests-headline", [
        element("b", "num", ms(one.duration_ms)),
        ` ${words(one)}`,
      ]),
      waterfall(one), place, facts(one));
    if (one.profile && one.profile.samples > 0) sampled(one, place);
    else unsampled(one, place);
  }

  function words(one) {
    const most = steps(one).reduce((best, step) => (!best || step.ms > best.ms ? step : best), null);
    const share = most && one.duration_ms > 0 ? `, ${((100 * most.ms) / one.duration_ms).toFixed(0)} % of it ${most.words}` : "";
    return `${one.model ? `for ${String(one.model).slice(0, 80)}` : `on ${String(one.endpoint).slice(0, 80)}`}${share}`;
  }

  /* Draw the request of that id among the exemplars; what is drawn already stays. */
  function show(id, exemplars) {
    byId("requests-close").hidden = !id;
    if (id && id === shown) return;
    if (!id) {
      if (shown !== "" || !byId("requests-detail").querySelector(".requests-note")) clear("Choose a request: where its time went will appear here.");
      shown = "";
      return;
    }
    if (!exemplars) return;
    const one = exemplars.find((exemplar) => exemplar.request_id === id);
    shown = one ? id : "";
    if (one) draw(one);
    else clear(`Request ${id.slice(0, 200)} is not among those kept: the slowest and a sample of each minute of the last hour.`);
  }

  pyrometer.waterfall = { scaled };
  flame.request = { show };
})();
