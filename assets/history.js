/* Figures from before the live buffer, GET /performance/metrics/history.

   A stretch holds one range: the whole of it once, then, while the range rolls, only what has
   come since, every 10 seconds or every step where that is longer. phase: idle -> loading ->
   ready or failed; a failed one is asked again by itself, and by its button. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const REFRESH_S = 10;
  const LIMIT_MS = 20000;
  const MAX_POINTS = 600;
  const MAX_EVENTS = 200;
  /* [step, for how long it is kept], seconds: a second in memory, the others on disk. */
  const TIERS = [[1, 3600], [10, 86400], [60, 2592000], [600, 5184000], [3600, Infinity], [21600, Infinity], [86400, Infinity]];
  const LATE = `no answer within ${LIMIT_MS / 1000} s`;

  function newStretch() {
    const stretch = { kind: "history", key: "", generation: 0, shift: 0 };
    return forget(stretch);
  }

  function forget(stretch) {
    if (stretch.abort) stretch.abort.abort();
    return Object.assign(stretch, {
      columns: [], rows: [], events: [], stepS: null, phase: "idle", problem: "", askedAt: 0, abort: null,
    });
  }

  /* Whole steps of what is kept, at most MAX_POINTS of them: finer ones would show as gaps. */
  function stepFor(from, to) {
    const age = pyrometer.latest() - from;
    const lost = from < pyrometer.state.answer.started; // memory went with the server before
    const [finest] = TIERS.find(([step, kept]) => age <= kept && !(lost && step === 1));
    const least = Math.max(finest, Math.ceil((to - from) / MAX_POINTS));
    const [whole] = TIERS.findLast(([step]) => step <= least);
    return Math.ceil(least / whole) * whole;
  }

  async function get(query, signal) {
    const response = await fetch(`/performance/metrics/history?${query}`, { signal });
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new Error((answer && answer.error) || `HTTP ${response.status}`);
    if (!answer || !Array.isArray(answer.points)) throw new Error("not an answer of the history");
    return answer;
  }

  /* What came replaces what is held from there on: the last step was not whole yet. */
  function merge(stretch, answer, from) {
    const first = answer.points.length ? answer.points[0][0] : Infinity;
    const kept = stretch.rows.filter((row) => row[0] < first && row[0] >= from - answer.step_s);
    Object.assign(stretch, { columns: answer.columns, stepS: answer.step_s });
    stretch.rows = [...kept, ...answer.points].slice(-MAX_POINTS);
    const since = answer.events.length ? answer.events[0].t : Infinity;
    stretch.events = [...stretch.events.filter((event) => event.t < since), ...answer.events].slice(-MAX_EVENTS);
    stretch.problem = answer.problem || "";
    stretch.phase = "ready";
  }

  /* What ends now is asked for by its length, so that the server's clock alone counts. */
  function queryOf(from, to, step, endsNow) {
    // The newest figure may be older than what is held, after a set clock or a restart.
    if (endsNow) return `window=${Math.max(step, Math.ceil(pyrometer.latest() - from) + step)}s&step=${step}s`;
    return `from=${from}&to=${Math.max(to, from + step)}&step=${step}s`;
  }

  async function ask(stretch, { from, to, endsNow }) {
    const abort = (stretch.abort = new AbortController());
    const late = setTimeout(() => abort.abort(LATE), LIMIT_MS);
    const tail = stretch.rows.length > 0;
    stretch.askedAt = performance.now();
    if (stretch.phase === "idle") stretch.phase = "loading";
    const step = Math.max(1, tail ? stretch.stepS : stepFor(from, to));
    const since = tail ? stretch.rows[stretch.rows.length - 1][0] - step : from;
    try {
      const answer = await get(queryOf(since, to, step, endsNow), abort.signal);
      if (stretch.abort !== abort) return; // another range is asked for by now
      merge(stretch, answer, from);
    } catch (failure) {
      if (stretch.abort !== abort) return;
      stretch.problem = abort.signal.aborted ? LATE : failure.message;
      if (!tail) stretch.phase = "failed";
    } finally {
      clearTimeout(late);
    }
    stretch.abort = null;
    stretch.generation += 1;
    pyrometer.redraw();
  }

  /* Have the stretch hold span {from, to, rolling, endsNow}; what rolls moves on. Asks where it
     must, returns at once. */
  function hold(stretch, key, span) {
    if (stretch.key !== key) {
      forget(stretch);
      stretch.key = key;
      stretch.generation += 1;
    }
    if (stretch.abort) return stretch;
    const age_s = (performance.now() - stretch.askedAt) / 1000;
    const due = stretch.phase === "idle" || age_s >= Math.max(REFRESH_S, stretch.stepS || 0);
    if (due && (span.rolling || stretch.phase !== "ready")) ask(stretch, span);
    return stretch;
  }

  function retry(stretch) {
    if (stretch.abort) return;
    forget(stretch);
    pyrometer.redraw();
  }

  const main = newStretch();
  const previous = newStretch();

  /* The figures of the range that is shown. */
  function shown() {
    const range = pyrometer.time.range();
    const endsNow = range.rolling && pyrometer.time.live() > 0;
    const rolling = endsNow || (!range.rolling && range.to > pyrometer.latest());
    return hold(main, range.key, { ...range, rolling, endsNow });
  }

  /* Those of the period just before, as long; shift: seconds by which it is drawn later. */
  function before() {
    const range = pyrometer.time.range();
    const rolling = range.rolling && pyrometer.time.live() > 0;
    const earlier = { from: range.from - range.seconds, to: range.from, rolling };
    return Object.assign(hold(previous, range.key, earlier), { shift: range.seconds });
  }

  /* What happened, oldest first: what the range has on file, then what is newer. */
  function events() {
    const live = (pyrometer.state.answer && pyrometer.state.answer.events) || [];
    const last = main.events.length ? main.events[main.events.length - 1].t : -Infinity;
    return [...main.events, ...live.filter((event) => event.t > last)];
  }

  pyrometer.history = { shown, before, retry, events };
})();
