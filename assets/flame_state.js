/* What a flame graph shows, as the keys of the address, and the server's query for it.

   The keys are those of GET /performance/flame-graph, and of the page alone: q (search),
   zoom (path), widths, sort. The time is the console's range; from and to, as links from
   elsewhere may have them, become a range. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { clock } = pyrometer.format;
  const FILTERS = ["model", "version", "route", "thread", "kind", "request", "capture"];
  const PHASE_FILTERS = ["model", "route"];
  const AGAINST = ["against", "against_window", "against_from", "against_to", "against_model", "against_version", "against_capture"];
  const SHAPE = ["measure", "collapse", "invert", "focus"];
  const EVENT_S = 300; // looked at on both sides of an event
  const EVENT_KINDS = new Set(["start", "load", "unload", "warmup", "flush", "failure", "pin", "rollback", "deploy"]);
  const LIMIT_MS = 20000;
  const PATH = "/performance/flame-graph";

  /* {from, to, rolling}: seconds of the server's clock. */
  function span(params) {
    const [from, to] = [Number(params.from), Number(params.to)];
    if (from > 0 && to > from) return { from, to, rolling: false };
    const range = pyrometer.time.range();
    return { from: range.from, to: range.to, rolling: range.rolling && pyrometer.time.live() > 0 };
  }

  /* The console's range that stays. */
  const rangeOf = (from, to) => `${Math.floor(from)}-${Math.max(Math.ceil(to), Math.floor(from) + 2)}`;

  const rounded = (seconds) => String(Math.round(seconds * 1000) / 1000);

  /* The server's query; pinned: with from and to even where the range rolls. */
  function query(params, { format = "json", pinned = false } = {}) {
    const asked = new URLSearchParams({ view: params.view === "phases" ? "phases" : "code" });
    const { from, to, rolling } = span(params);
    if (params.view === "phases" || (!params.capture && !params.request)) { // phases are of all requests then
      if (rolling && !pinned) asked.set("window", `${Math.round(to - from)}s`);
      else {
        asked.set("from", rounded(from));
        asked.set("to", rounded(to));
      }
    }
    const keys = params.view === "phases" ? PHASE_FILTERS : [...FILTERS, ...SHAPE, ...AGAINST];
    for (const key of keys) if (params[key]) asked.set(key, params[key]);
    if (format !== "json") asked.set("format", format);
    if (format === "svg") asked.set("theme", document.documentElement.dataset.theme === "light" ? "light" : "dark");
    return asked;
  }

  const address = (params, options) => `${PATH}?${query(params, options)}`;

  /* One answer, or an Error in words with the request's id. */
  async function ask(url, signal) {
    let response;
    const limit = AbortSignal.timeout(LIMIT_MS);
    try {
      response = await fetch(url, { signal: signal ? AbortSignal.any([signal, limit]) : limit, cache: "no-store" });
    } catch (failure) {
      if (signal && signal.aborted) throw failure;
      throw new Error(limit.aborted ? `no answer within ${LIMIT_MS / 1000} s` : "no answer from the server");
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer) return answer;
    const id = response.headers.get("X-Request-Id");
    const words = (answer && typeof answer.error === "string" && answer.error) || `HTTP ${response.status}`;
    const failure = new Error(`${words}${id ? ` (request ${id})` : ""}`);
    failure.status = response.status;
    throw failure;
  }

  // What to compare with, as one choice

  const none = () => Object.fromEntries(AGAINST.map((key) => [key, null]));

  /* The events that a before and an after can be told by, newest first. */
  function events() {
    const all = (pyrometer.state.answer && pyrometer.state.answer.events) || [];
    return all.filter((event) => EVENT_KINDS.has(event.kind)).sort((a, b) => b.t - a.t).slice(0, 12);
  }

  function choice(params) {
    if (params.against_model) return `model:${params.against_model}`;
    if (params.against_version) return `version:${params.against_version}`;
    if (params.against_capture) return `capture:${params.against_capture}`;
    if (params.against_from) return `times:${params.against_from}`;
    if (params.against === "before") return params.against_window ? `last:${params.against_window}` : "before";
    return "";
  }

  /* The changes of the address that a choice makes. */
  function chosen(value) {
    const [kind, ...rest] = value.split(":");
    const what = rest.join(":");
    const changes = none();
    if (kind === "before") changes.against = "before";
    else if (kind === "last") Object.assign(changes, { against: "before", against_window: what });
    else if (["model", "version", "capture"].includes(kind)) changes[`against_${kind}`] = what;
    else if (kind === "event") {
      const at = Number(what);
      const to = Math.max(at + 1, Math.min(at + EVENT_S, pyrometer.latest()));
      Object.assign(changes, {
        range: rangeOf(at, to), against_from: rounded(at - EVENT_S), against_to: rounded(at), capture: null, request: null,
      });
    }
    return changes;
  }

  /* What is compared with, in words. */
  function against(params, answer) {
    if (!answer.against) return "";
    if (params.against_from) return `${clock(Number(params.against_from))} to ${clock(Number(params.against_to))}`;
    if (params.against_capture) return flame.captures.nameOf(params.against_capture);
    if (params.against !== "before") return String(answer.against.label);
    return params.against_window === "1h" ? "the hour before" : params.against_window ? `the ${params.against_window} before` : "the time before";
  }

  /* "compared with ...", or that there is nothing to compare with. */
  function compared(params, answer) {
    const what = against(params, answer);
    return flame.model.isCompared(answer) ? `compared with ${what}` : `nothing was sampled in ${what}, so nothing is compared`;
  }

  /* The page's own address, pinned in time. */
  function link(params) {
    const { from, to } = span(params);
    const kept = new URLSearchParams(Object.entries(params).filter(([, value]) => value));
    kept.delete("live");
    if (!params.capture && !params.request) kept.set("range", rangeOf(from, to));
    return `${location.origin}${pyrometer.base.at("/flame-graph")}?${kept}`;
  }

  flame.state = { FILTERS, PHASE_FILTERS, AGAINST, span, rangeOf, query, address, ask, events, choice, chosen, against, compared, link };
})();
