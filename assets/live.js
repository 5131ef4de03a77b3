/* The poll loop and the state of the page.

   dcc.Interval ticks once a second -> every 1, 5 or 30 of them (`pyrometer.time.live`) at most
   one GET /performance/live?since=SEQ in flight
   -> the last 10 minutes of points -> every drawer in `pyrometer.drawers`, then those of
   the page that is shown (`pyrometer.pages`).
   phase: waiting -> live <-> stale; paused by the operator. The loop recovers unaided. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, setText, setStatus } = pyrometer.dom;
  const { clock, duration } = pyrometer.format;

  const WINDOW_S = 600;
  const TIMEOUT_MS = 5000;
  const GAP_S = 2.5; // two points further apart than this are not joined
  const FROZEN_MS = 6000; // answers without a new figure for this long are stale too

  const state = (pyrometer.state = {
    phase: "waiting",
    seq: 0,
    instance: null,
    columns: [],
    rows: [], // as the server sends them; a row of nulls after its time is a gap
    generation: 0, // grows when the buffer starts anew: drawers drop what they drew
    answer: null,
    answeredAt: null, // seconds, this browser's clock
    advancedAt: 0, // milliseconds of performance.now() when seq last grew
  });
  pyrometer.WINDOW_S = WINDOW_S;
  pyrometer.drawers = pyrometer.drawers || [];

  let busy = false;
  let ticks = 0; // since the last answer was asked for

  function reset(instance) {
    Object.assign(state, { seq: 0, instance, rows: [], advancedAt: performance.now() });
    state.generation += 1;
  }

  function append(points) {
    for (const row of points) {
      const last = state.rows.length ? state.rows[state.rows.length - 1][0] : -Infinity;
      if (!Array.isArray(row) || !(row[0] > last)) continue;
      if (last > 0 && row[0] - last > GAP_S) {
        state.rows.push([last + 1, ...Array(state.columns.length - 1).fill(null)]);
      }
      state.rows.push(row);
    }
    const oldest = latest() - WINDOW_S;
    let drop = Math.max(0, state.rows.length - WINDOW_S);
    while (drop < state.rows.length && state.rows[drop][0] < oldest) drop += 1;
    state.rows.splice(0, drop);
  }

  /* The newest time known, in seconds of the server's clock. */
  function latest() {
    if (state.rows.length) return state.rows[state.rows.length - 1][0];
    return state.answer ? state.answer.time : Date.now() / 1000;
  }

  /* Parts that have not changed are not sent again, of some only the fields that have. */
  function merged(known, { patches, ...sent }) {
    const whole = { ...known, ...sent };
    for (const [part, rows] of Object.entries(patches || {})) {
      whole[part] = known[part].map((row, place) => (rows[place] ? { ...row, ...rows[place] } : row));
    }
    return whole;
  }

  function accept(answer) {
    if (state.instance !== null && answer.instance !== state.instance) {
      reset(answer.instance);
      return false; // the answer was for the old server's numbering: ask again from 0
    }
    if (answer.seq !== state.seq || state.instance === null) state.advancedAt = performance.now();
    Object.assign(state, {
      instance: answer.instance,
      seq: answer.seq,
      answer: merged(state.seq > 0 ? state.answer : {}, answer),
      columns: answer.columns || state.columns,
      answeredAt: Date.now() / 1000,
    });
    append(answer.points || []);
    return true;
  }

  /* The first answer is asked for while React still builds the page: with it in hand, the page
     has figures before Plotly, megabytes of it, keeps the browser busy. */
  let first = document.hidden ? null : fetched().catch(() => null);

  async function ask() {
    const waiting = first;
    first = null;
    return (await waiting) || fetched();
  }

  async function fetched() {
    const response = await fetch(`/performance/live?since=${state.seq}`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: "no-store",
    });
    if (response.status === 401) pyrometer.session.ended();
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const answer = await response.json();
    if (!answer || typeof answer.seq !== "number") throw new Error("not a live answer");
    return answer;
  }

  async function poll() {
    const paused = pyrometer.time.live() === 0;
    if (busy || document.hidden || pyrometer.session.leaving() || (paused && state.answer)) return;
    busy = true;
    ticks = 0;
    try {
      if (!accept(await ask())) accept(await ask());
      const frozen = performance.now() - state.advancedAt > FROZEN_MS;
      if (pyrometer.time.live() === 0) enter("paused", "");
      else enter(frozen ? "stale" : "live", "no new figures");
      draw();
    } catch (failure) {
      if (pyrometer.time.live() !== 0 || !state.answer) enter("stale", "no answer");
    } finally {
      busy = false;
    }
  }

  function enter(phase, problem) {
    state.phase = phase;
    byId("console").dataset.phase = phase === "stale" && !state.answer ? "waiting" : phase;
    const since = state.answer ? ` since ${clock(latest())}` : "";
    const words = {
      live: pyrometer.time.live() > 1 ? `Every ${pyrometer.time.live()} s` : "Live",
      paused: `Paused${since.replace("since", "at")}`,
      stale: `Stale: ${problem}${since}, retrying`,
    };
    byId("live-badge").dataset.state = phase;
    setText(byId("live-words"), words[phase]);
    byId("live-badge").title = phase === "paused" ? "Resume" : "Pause the figures";
    health(problem, since);
  }

  /* A stale page must not go on saying that all is well. */
  function health(problem, since) {
    const stale = state.phase === "stale";
    const said = (state.answer && state.answer.health) || { status: "unknown", text: "" };
    const status = setStatus(byId("health"), stale ? "unknown" : said.status);
    setStatus(byId("health-mark"), status);
    const last = said.text ? `; last known: ${said.text}` : "";
    const lost = state.answer ? `Not known, ${problem}${since}${last}` : "The server has not answered yet";
    const text = stale ? lost : said.text;
    setText(byId("health-text"), text);
    byId("health-text").title = text;
    const key = `${state.phase} ${status}`;
    if (health.key === key) return;
    health.key = key;
    setText(byId("health-announce"), text);
    pyrometer.router.prefix(status === "ok" ? "" : stale ? "stale" : status);
  }

  function draw() {
    const up = state.answer.time - state.answer.started;
    setText(byId("server-version"), `version ${state.answer.version}`);
    setText(byId("server-uptime"), up >= 0 ? `up ${duration(up)}` : "");
    for (const drawer of pyrometer.drawers) pyrometer.guard("drawer", () => drawer(state));
    pyrometer.pages.draw(state);
  }

  function rateChanged() {
    const rate = pyrometer.time.live();
    if (rate === rateChanged.last) return;
    rateChanged.last = rate;
    if (!state.answer) return;
    if (rate === 0) return enter("paused", "");
    if (state.phase !== "stale") enter("live", "");
    poll();
  }

  /* Dash notes every tick for an undo that no page offers, and copies all of them at the next. */
  function forgetTicks() {
    const store = window.store;
    if (store) store.getState().history.past.length = 0;
  }

  function tick() {
    ticks += 1;
    forgetTicks();
    if (pyrometer.router.current() && ticks >= pyrometer.time.live()) poll();
    return window.dash_clientside.no_update;
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("live-badge").addEventListener("click", () => pyrometer.time.pauseOrResume());
    document.addEventListener("visibilitychange", poll);
    pyrometer.time.on(rateChanged);
    queueMicrotask(poll); // at once, but after all starters
  });
  pyrometer.latest = latest;
  pyrometer.poll = poll;
  pyrometer.redraw = () => state.answer && draw();
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.pyrometer = { tick };
})();
