/* The Models page: every model in a table, filtered and sorted as the address says, or the one
   model that the address names.

   ?model=NAME&version=V   one model (models_detail.js)
   ?q=WORDS&sort=-p99      the table */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, bytes, clock, day, duration, plural, known } = pyrometer.format;
  const STATUS = { warm: "ok", loading: "warning", failed: "critical", cold: "unknown" };
  const RESORT_MS = 5000; // rows do not trade places more often than this
  const TYPING_MS = 200;
  const VALUES = {
    model: (one) => one.name.toLowerCase(),
    state: (one) => stateOf(one).word,
    version: (one) => Number(one.version),
    plan: (one) => one.speedup,
    memory: (one) => one.memory_mb,
    requests: (one) => one.requests,
    p99: (one) => one.p99_ms,
    hits: (one) => one.hit_percent,
    used: (one) => one.last_used,
  };
  const RISING = new Set(["model", "state"]);
  let order = []; // names, as the rows stand
  let orderKey = "";
  let sortedAt = -Infinity;

  /* Status and word of a model; one that was unloaded by hand is cold. */
  function stateOf(one) {
    if (one.degraded) return { status: "warning", word: "degraded" };
    return { status: STATUS[one.state] || "unknown", word: one.state };
  }

  /* One entry a model: the version that serves, with all its versions. */
  function grouped(state) {
    const byName = new Map();
    for (const one of state.answer.models || []) {
      if (!byName.has(one.name)) byName.set(one.name, []);
      byName.get(one.name).push(one);
    }
    return [...byName.values()].map((versions) => {
      const main = versions.find((one) => one.serving) || versions[versions.length - 1];
      return { ...main, versions };
    });
  }

  function ago(seconds) {
    const age = pyrometer.latest() - seconds;
    return age < 2 ? "now" : `${duration(age)} ago`;
  }

  const used = (one) => (known(one.last_used) ? ago(one.last_used) : "not yet");
  const usedTitle = (one) =>
    known(one.last_used) ? `${day(one.last_used)} ${clock(one.last_used)}` : "No request since the server's start";

  /* "scikit-learn's speed", what the speed-up is measured against. */
  function against(one) {
    const found = /x (.+)$/.exec(one.plan || "");
    return found ? found[1] : one.backend ? "the model as it is" : "";
  }

  const speedup = (one) => (known(one.speedup) && one.speedup !== 1 ? `${number(one.speedup)}× ${against(one)}` : against(one));

  function flags(one) {
    const parts = [];
    if (one.pinned) parts.push("pinned");
    if (one.encoder) parts.push(`on ${one.encoder}`);
    if (one.preload) parts.push("loads at start");
    return parts.join(", ") || one.format || "";
  }

  const problemOf = (one) => one.error || one.degraded || "";

  // The table

  function makeRow(one) {
    const { cell, twoLines } = pyrometer.tables;
    const link = element("a", "cell-1 models-link");
    const mark = element("span", "mark");
    const row = element("tr", "", [
      cell("model", [link, element("div", "cell-2")]),
      cell("state", element("span", "state", [mark, element("span", "state-word")])),
      cell("version", twoLines(), "version"),
      cell("plan", twoLines()),
      cell("memory", "", "memory", true),
      cell("requests", "", "requests", true),
      cell("p99", "", "p99 ms", true),
      cell("hits", "", "hits %", true),
      cell("used", "", "used", true),
      cell("action", "", "", true),
    ]);
    row.dataset.model = one.name;
    link.addEventListener("click", (event) => opened(event, one.name));
    const host = { node: row, tag: "td", tell: (words) => tellRow(row, words) };
    row.querySelector(".col-action").append(models.actions.buttons(host, () => row.model));
    return row;
  }

  function tellRow(row, words) {
    row.dataset.progress = words;
    if (row.model) fillPlan(row, row.model);
  }

  function fillPlan(row, one) {
    const { titled } = pyrometer.tables;
    const [first, second] = row.querySelectorAll(".col-plan > div");
    titled(first, one.backend || (one.state === "loading" ? "being planned" : "not in memory"));
    const progress = row.dataset.progress || "";
    titled(second, progress || problemOf(one) || speedup(one));
    second.classList.toggle("problem", !progress && Boolean(problemOf(one)));
  }

  function fillRow(row, one) {
    const { titled } = pyrometer.tables;
    row.model = one;
    row.dataset.state = one.state;
    const link = row.querySelector(".models-link");
    titled(link, one.name);
    link.href = `/models?model=${encodeURIComponent(one.name)}`;
    titled(row.querySelector(".col-model > div"), flags(one));
    const { status, word } = stateOf(one);
    setStatus(row.querySelector(".mark"), status);
    setText(row.querySelector(".state-word"), word);
    const [version, others] = row.querySelectorAll(".col-version > div");
    titled(version, one.version);
    titled(others, one.versions.length > 1 ? `of ${one.versions.length}` : "");
    fillPlan(row, one);
    setText(row.querySelector(".col-memory"), known(one.memory_mb) ? bytes(one.memory_mb * 1e6) : "–");
    setText(row.querySelector(".col-requests"), count(one.requests));
    setText(row.querySelector(".col-p99"), number(one.p99_ms));
    setText(row.querySelector(".col-hits"), percent(one.hit_percent));
    const last = row.querySelector(".col-used");
    setText(last, used(one));
    last.title = usedTitle(one);
    models.actions.refresh(row, one);
  }

  function opened(event, name) {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    pyrometer.url.set({ model: name }, { push: true });
    scrollTo({ top: 0, behavior: "instant" });
    byId("model-name").focus({ preventScroll: true });
  }

  function sorted(all, sort) {
    const key = sort.replace("-", "") in VALUES ? sort.replace("-", "") : "model";
    const falling = RISING.has(key) === sort.startsWith("-");
    const value = VALUES[key];
    return [...all].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === b) return one.name.localeCompare(other.name);
      if (a === null || a === undefined) return 1; // what is not known comes last either way
      if (b === null || b === undefined) return -1;
      return (a < b ? -1 : 1) * (falling ? -1 : 1);
    });
  }

  /* Rows keep their places while somebody is about to press one of their buttons. */
  function inOrder(all, sort) {
    const key = JSON.stringify([sort, all.map((one) => one.name)]);
    const busy = byId("model-list-body").matches(":hover, :focus-within");
    if (key !== orderKey || (performance.now() - sortedAt > RESORT_MS && !busy)) {
      order = sorted(all, sort).map((one) => one.name);
      [orderKey, sortedAt] = [key, performance.now()];
    }
    const byName = new Map(all.map((one) => [one.name, one]));
    return order.map((name) => byName.get(name)).filter(Boolean);
  }

  function headings(sort) {
    for (const heading of document.querySelectorAll("#model-list-table th[aria-sort]")) {
      const key = heading.querySelector("button").dataset.sort;
      const rising = RISING.has(key) !== sort.startsWith("-");
      heading.setAttribute("aria-sort", sort.replace("-", "") === key ? (rising ? "ascending" : "descending") : "none");
    }
  }

  function tell(all, found, words) {
    const warm = all.filter((one) => one.state === "warm").length;
    const shown = found.length < all.length ? `${found.length} of ${plural(all.length, "model")}, ` : "";
    setText(byId("readout-model-list"), all.length ? `${shown}${warm} of ${all.length} warm` : "");
    byId("model-list-warm-all").disabled = !all.length;
    const note = byId("empty-model-list");
    note.hidden = found.length > 0;
    const why = all.length ? `No model whose name has “${words.slice(0, 80)}”` : "No models. Each folder of the model repository that holds a model appears here.";
    if (found.length || note.dataset.why === why) return;
    note.dataset.why = why;
    const clear = element("button", "chip", "Clear the filter");
    clear.type = "button";
    clear.addEventListener("click", () => pyrometer.url.set({ q: null }, { push: true }));
    note.replaceChildren(element("div", "", why), ...(all.length ? [clear] : []));
  }

  function drawProblems(problems) {
    const list = byId("model-list-problems");
    const found = Object.entries(problems || {});
    list.hidden = !found.length;
    const make = () => element("li", "", [element("b", ""), element("span", "")]);
    pyrometer.tables.rows(list, found, ([folder]) => folder, make, (row, [folder, reason]) => {
      setText(row.firstChild, folder);
      setText(row.lastChild, ` cannot be used: ${reason}`);
    });
  }

  function drawList(state) {
    const params = pyrometer.url.all();
    const all = grouped(state);
    const words = (params.q || "").trim();
    const found = inOrder(all.filter((one) => one.name.toLowerCase().includes(words.toLowerCase())), params.sort || "model");
    pyrometer.tables.rows(byId("model-list-body"), found, (one) => one.name, makeRow, fillRow);
    headings(params.sort || "model");
    tell(all, found, words);
    drawProblems(state.answer.problems);
    byId("models-page").dataset.state = "shown";
    const filter = byId("model-list-q");
    if (document.activeElement !== filter && filter.value !== (params.q || "")) filter.value = params.q || "";
  }

  // The page

  function show(params) {
    const name = params.model || "";
    byId("model-list").hidden = Boolean(name);
    byId("model-one").hidden = !name;
    models.detail.choose(name, params.version || "");
    if (pyrometer.state.answer) draw(pyrometer.state);
  }

  function draw(state) {
    if (pyrometer.url.get("model")) models.detail.draw(state);
    else drawList(state);
  }

  function leave() {
    models.detail.choose("", "");
  }

  function wire() {
    const filter = element("input", "form-input");
    Object.assign(filter, { id: "model-list-q", type: "search", placeholder: "Filter by name", autocomplete: "off" });
    let later = null;
    filter.addEventListener("input", () => {
      clearTimeout(later);
      later = setTimeout(() => pyrometer.url.set({ q: filter.value }), TYPING_MS);
    });
    byId("model-list-filter").append(filter);
    for (const button of document.querySelectorAll("#model-list-table .models-sort")) {
      button.addEventListener("click", () => {
        const { sort } = button.dataset;
        const next = (pyrometer.url.get("sort") || "model") === sort ? `-${sort}` : sort;
        pyrometer.url.set({ sort: next === "model" ? null : next });
      });
    }
    byId("model-list-warm-all").addEventListener("click", (event) => models.actions.warmAll(event.currentTarget));
    byId("model-back").addEventListener("click", (event) => {
      if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      const name = pyrometer.url.get("model");
      pyrometer.url.set(Object.fromEntries(models.OWN_KEYS.map((key) => [key, null])), { push: true });
      scrollTo({ top: 0, behavior: "instant" });
      const row = [...byId("model-list-body").children].find((one) => one.dataset.model === name);
      if (row) row.querySelector(".models-link").focus({ preventScroll: true });
    });
  }

  Object.assign(models, {
    OWN_KEYS: ["model", "version", "sample", "outputs", "cache", "as", "view"],
    grouped, stateOf, against, used, usedTitle, problemOf,
  });
  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.pages.add("models", { enter: show, change: show, draw, leave });
})();
