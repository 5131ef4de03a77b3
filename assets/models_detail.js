/* One model's page: head and figures from the live snapshot; schema, plan, samples and latency
   from their routes, each asked again when what it tells may have changed.

   Each part draws itself: pyrometer.models.parts = [{draw(one), clear()}]. `one` holds
   {name, version, about, plan, samples, latency, problems: {route: words}}. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, bytes, known, plural } = pyrometer.format;
  const LATENCY_MS = 5000;
  const TITLE_CHARACTERS = 60;
  const NAMED = ["about", "plan", "samples"];
  const parts = (models.parts = models.parts || []);
  let one = null; // what is shown
  let under = null; // AbortController of all that is asked for it
  let changedKey = ""; // of the snapshot's row, by what the routes' answers depend on
  let latencyAt = -Infinity;
  let latencyTurn = 0; // grows with each question, and where the range changes

  const base = () => `/performance/models/${encodeURIComponent(one.name)}`;
  const ofVersion = () => (one.version ? `?version=${encodeURIComponent(one.version)}` : "");
  const PATHS = {
    about: () => base() + ofVersion(),
    plan: () => `${base()}/plan${ofVersion()}`,
    samples: () => `${base()}/samples${ofVersion()}`,
  };

  /* Show a model, "" for none; the same one again changes nothing but what the address says. */
  function choose(name, version) {
    if (one && one.name === name && one.version === version) return drawParts();
    if (under) under.abort();
    untitle();
    one = null;
    if (!name) return undefined;
    one = { name, version, about: null, plan: null, samples: null, latency: null, problems: {} };
    under = new AbortController();
    changedKey = "";
    latencyAt = -Infinity;
    latencyTurn += 1;
    for (const part of parts) pyrometer.guard("model", () => part.clear(one));
    blankHead();
    return title();
  }

  async function askOne(route) {
    const mine = one;
    const { signal } = under;
    try {
      const answer = await models.get(PATHS[route](), signal);
      if (mine !== one) return;
      one[route] = answer;
      delete one.problems[route];
    } catch (failure) {
      if (mine !== one || signal.aborted) return;
      one.problems[route] = failure.message;
    }
    drawParts();
    if (pyrometer.state.answer) drawHead(pyrometer.state);
  }

  const ask = (routes) => routes.forEach(askOne);

  async function askLatency() {
    const { signal } = under;
    const turn = (latencyTurn += 1);
    latencyAt = performance.now();
    try {
      const answer = await models.get(`${base()}/latency?${pyrometer.time.query()}`, signal);
      if (turn !== latencyTurn) return;
      one.latency = answer;
      delete one.problems.latency;
    } catch (failure) {
      if (turn !== latencyTurn || signal.aborted) return;
      one.problems.latency = failure.message;
    }
    drawParts();
  }

  function drawParts() {
    if (!one) return;
    for (const part of parts) pyrometer.guard("model", () => part.draw(one));
  }

  function refresh() {
    if (one) ask(NAMED);
  }

  // Title of the document: the router sets it anew where health or page change

  const titled = () => `${one.name.slice(0, TITLE_CHARACTERS)} - ${pyrometer.router.title()}`;

  function title() {
    const plain = pyrometer.router.title();
    if (one && plain && !document.title.includes(titled())) document.title = document.title.replace(plain, titled());
  }

  function untitle() {
    if (one) document.title = document.title.replace(titled(), pyrometer.router.title());
  }

  // Head

  const rowOf = (state) => {
    const versions = (state.answer.models || []).filter((row) => row.name === one.name);
    const wanted = one.version ? versions.find((row) => row.version === one.version) : versions.find((row) => row.serving) || versions[0];
    return wanted ? { ...wanted, versions } : null;
  };

  function blankHead() {
    setText(byId("model-name"), one.name);
    setText(byId("model-state"), "");
    setText(byId("model-description"), "");
    setText(byId("model-progress"), "");
    setStatus(byId("model-mark"), "unknown");
    byId("model-problem").hidden = true;
    byId("model-actions").replaceChildren();
    for (const node of byId("model-figures").querySelectorAll("[data-figure]")) setText(node, "–");
    for (const node of byId("model-figures").querySelectorAll("[data-note]")) setText(node, "");
  }

  function figures(row) {
    const memory = known(row.memory_mb) ? bytes(row.memory_mb * 1e6) : "–";
    const failed = Object.entries(row.outcomes || {}).reduce((sum, [name, many]) => sum + (name === "ok" ? 0 : many), 0);
    return {
      form: [row.backend || "–", row.backend ? "" : "not in memory"],
      speedup: [known(row.speedup) && row.speedup !== 1 ? `${number(row.speedup)}×` : "–", models.against(row)],
      memory: [memory, row.pinned ? "pinned" : known(row.load_ms) ? `loaded in ${number(row.load_ms / 1000)} s` : ""],
      requests: [count(row.requests), row.requests ? `${count(failed)} not answered` : "since the start"],
      p50: [known(row.p50_ms) ? `${number(row.p50_ms)} ms` : "–", "since the start"],
      p99: [known(row.p99_ms) ? `${number(row.p99_ms)} ms` : "–", "since the start"],
      hits: [known(row.hit_percent) ? `${percent(row.hit_percent)} %` : "–", "since the start"],
      used: [models.used(row), ""],
    };
  }

  function drawHead(state) {
    const row = rowOf(state);
    byId("model-one").dataset.state = row ? "shown" : "missing";
    if (!row) return drawMissing();
    one.row = row;
    const { status, word } = models.stateOf(row);
    setStatus(byId("model-mark"), status);
    const version = `version ${row.version}${row.versions.length > 1 ? ` of ${row.versions.length}` : ""}`;
    setText(byId("model-state"), `${word}, ${version}${row.serving ? "" : ", not serving"}`);
    setText(byId("model-description"), row.description);
    const host = { node: byId("model-head"), tag: "div", tell: (words) => setText(byId("model-progress"), words) };
    const place = byId("model-actions");
    if (!place.firstChild) place.append(tryLink(), models.actions.buttons(host, () => one && one.row));
    models.actions.refresh(byId("model-head"), row);
    const problem = byId("model-problem");
    problem.hidden = !models.problemOf(row);
    problem.dataset.status = status;
    setText(problem, models.problemOf(row) ? `${word === "failed" ? "Failed" : word === "degraded" ? "Degraded" : "Problem"}: ${models.problemOf(row)}` : "");
    for (const [key, [value, note]] of Object.entries(figures(row))) {
      pyrometer.tables.titled(byId("model-figures").querySelector(`[data-figure=${key}]`), value);
      setText(byId("model-figures").querySelector(`[data-note=${key}]`), note);
    }
    return undefined;
  }

  function tryLink() {
    const node = element("button", "action btn btn-sm btn-link model-try-link", "Try it");
    node.type = "button";
    node.addEventListener("click", () => {
      byId("panel-model-try").scrollIntoView({ block: "start" });
      const first = byId("model-try").querySelector("input, textarea, select, button");
      if (first) first.focus({ preventScroll: true });
    });
    return node;
  }

  function drawMissing() {
    const problem = byId("model-problem");
    problem.hidden = false;
    problem.dataset.status = "critical";
    one.row = null;
    const shown = one.name.length > 200 ? `${one.name.slice(0, 200)}…` : one.name;
    const version = one.version ? `, version ${one.version.slice(0, 40)},` : "";
    setText(problem, `There is no model ${shown}${version} in the repository. The table of all models lists those that are there.`);
  }

  /* Each second: the head; the rest where the row says that it may have changed. */
  function draw(state) {
    if (!one) return;
    title();
    drawHead(state);
    if (one.row) {
      const { state: word, version, backend, degraded, error, load_ms: loadMs, pinned, versions } = one.row;
      const key = JSON.stringify([word, version, backend, degraded, error, loadMs, pinned, versions.map((row) => [row.version, row.state, row.serving])]);
      if (key !== changedKey) ask(NAMED);
      changedKey = key;
    }
    const { rolling } = pyrometer.time.range();
    const moves = rolling && state.phase === "live" && performance.now() - latencyAt >= LATENCY_MS;
    if (one.row && (latencyAt === -Infinity || moves)) askLatency();
    for (const part of parts) if (part.tick) pyrometer.guard("model", () => part.tick(one));
  }

  /* Another stretch of time: what is under way is for the old one. */
  function rangeChanged() {
    if (!one) return;
    latencyAt = -Infinity;
    latencyTurn += 1;
    one.latency = null;
  }

  models.detail = { choose, draw, refresh, current: () => one };
  (pyrometer.starters = pyrometer.starters || []).push(() => pyrometer.time.on(rangeChanged));
})();
