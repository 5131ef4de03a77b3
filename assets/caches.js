/* The Caches page: GET /performance/cache every REFRESH_MS while it is shown and the figures are
   live. caches_tiers.js and caches_models.js fill the rows, caches_flush.js empties what they
   show. Ages of large tiers are read on demand only and kept until they are read again. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, count, bytes, plural, known } = pyrometer.format;
  const PATH = "/performance/cache";
  const REFRESH_MS = 5000;
  const MEASURE = "Measure ages and disk";
  const HEADINGS = {
    bytes: "The limit is below the budget while the whole process would take more than memory_budget_bytes",
    evictions: "Had to make room for others",
    rejected: "Larger than a tenth of the budget; on disk and by Redis: the writer's queue was full, or a value was not what had been written",
    expired: "Older than their model's cache_ttl_s",
    age: "Since the oldest and the median item were put",
    saved: "Hits × the mean time that a run took since the start",
    run: "Mean time of the requests that ran it, since the start",
  };
  let answer = null;
  let under = null;
  let finishedAt = -Infinity;
  let problem = "";

  const sum = (values) => values.filter(known).reduce((total, value) => total + value, 0);

  /* A count that fits its column: "987,654", "12.3 M". */
  function short(value) {
    if (!known(value) || value < 1e6) return count(value);
    const [size, unit] = value < 1e9 ? [value / 1e6, "M"] : [value / 1e9, "G"];
    return `${number(size)} ${unit}`;
  }

  /* Write a count, the exact one in the title where it is shortened. */
  function fillCount(node, value, more = "") {
    setText(node, short(value));
    const words = [known(value) && value >= 1e6 ? count(value) : "", more].filter(Boolean).join(": ");
    if (node.title !== words) node.title = words;
  }

  /* Milliseconds in words: "840 ms", "12.3 s", "4.2 min", "3.1 h". */
  function took(ms) {
    if (!known(ms)) return "–";
    if (ms < 0) return `−${took(-ms)}`;
    const [size, unit] = ms < 1000 ? [ms, "ms"] : ms < 60e3 ? [ms / 1e3, "s"]
      : ms < 3600e3 ? [ms / 60e3, "min"] : ms < 86400e3 ? [ms / 3600e3, "h"] : [ms / 86400e3, "d"];
    return `${number(size)} ${unit}`;
  }

  /* Where the fresh row was not measured, what was measured last. */
  function keepAges(fresh, old) {
    if (!fresh || fresh.aged || !old || !known(old.oldest_s)) return;
    const { oldest_s, median_s, measuredAt = pyrometer.latest() } = old;
    Object.assign(fresh, { oldest_s, median_s, measuredAt });
  }

  function keepMeasured(fresh, old) {
    for (const tier of fresh.tiers) {
      const before = old.tiers.find((one) => one.tier === tier.tier) || {};
      keepAges(tier, before);
      keepAges(tier.disk, before.disk);
      if (!tier.disk || tier.disk.aged) continue;
      for (const model of fresh.models) {
        const same = old.models.find((one) => one.model === model.model);
        const held = same && same.held[`${tier.tier}_disk`];
        if (held) model.held[`${tier.tier}_disk`] = held;
      }
    }
  }

  async function load(ages = false) {
    if (under) return;
    under = new AbortController();
    try {
      const fresh = await pyrometer.flame.state.ask(ages ? `${PATH}?ages=1` : PATH, under.signal);
      if (answer) keepMeasured(fresh, answer);
      answer = fresh;
      problem = "";
    } catch (failure) {
      if (!under.signal.aborted) problem = failure.message;
    } finally {
      under = null;
      finishedAt = performance.now();
    }
    if (pyrometer.router.current() === "caches") draw();
  }

  function summary() {
    const data = answer.tiers.filter((tier) => tier.tier !== "models");
    const saved = [...data.flatMap((tier) => [tier, tier.disk || {}]), answer.shared || {}].map((tier) => tier.saved_ms).filter(known);
    const items = sum(data.map((tier) => tier.items));
    const asleep = data.filter((tier) => tier.awake === false).map((tier) => tier.label.toLowerCase());
    const parts = [`${plural(items, "item")}, ${bytes(sum(data.map((tier) => tier.bytes)))} in memory`];
    if (asleep.length) parts.unshift(`asleep: ${asleep.join(", ")}`);
    if (problem) parts.unshift(`not refreshed: ${problem}`);
    const nodes = parts.map((words) => element("span", "", words));
    if (saved.length) nodes.push(element("span", "", ["about ", element("b", "", took(sum(saved))), " of runs saved"]));
    return nodes;
  }

  function draw() {
    byId("caches-page").dataset.state = problem ? (answer ? "stale" : "error") : answer ? "shown" : "loading";
    const note = byId("empty-caches-tiers");
    note.hidden = Boolean(answer);
    const none = byId("empty-caches-cached");
    none.hidden = Boolean(answer && answer.models.length);
    if (!answer) return problem ? retry(note) : setText(note, "Asking what the caches hold");
    setText(none, "Nothing is cached yet. What each model has in the caches will appear here with its first requests.");
    caches.drawShared(answer.shared);
    caches.drawTiers(answer);
    caches.drawModels(answer);
    byId("readout-caches-tiers").replaceChildren(...summary());
    const left = answer.models_left_out ? `, ${count(answer.models_left_out)} with less not listed` : "";
    setText(byId("readout-caches-models"), answer.models.length ? `${plural(answer.models.length, "model")}${left}` : "");
    byId("caches-measure").hidden = answer.tiers.every((tier) => tier.aged && (!tier.disk || tier.disk.aged)) && !measuring;
    byId("caches-flush-all").disabled = !answer.tiers.some((tier) => tier.tier !== "models" && caches.holds(tier));
    return undefined;
  }

  function retry(note) {
    const again = element("button", "chip", "Try again");
    again.type = "button";
    again.addEventListener("click", () => load());
    note.replaceChildren(element("div", "", `What the caches hold could not be read: ${problem}. The other pages go on.`), again);
  }

  let measuring = false;

  async function measure() {
    if (measuring) return;
    measuring = true;
    const button = byId("caches-measure");
    button.setAttribute("aria-disabled", "true");
    setText(button, "Measuring");
    while (under) await new Promise((next) => setTimeout(next, 20));
    await load(true);
    measuring = false;
    setText(button, MEASURE);
    button.removeAttribute("aria-disabled");
  }

  function wire() {
    for (const [name, words] of Object.entries(HEADINGS)) {
      for (const heading of document.querySelectorAll(`#caches-page th.col-${name}`)) heading.title = words;
    }
    byId("caches-measure").addEventListener("click", measure);
    byId("caches-flush-all").addEventListener("click", () => caches.flushAll(answer));
  }

  function refresh(state) {
    if (state.phase !== "paused" && performance.now() - finishedAt >= REFRESH_MS && !document.hidden) load();
  }

  Object.assign(caches, { load, sum, took, short, fillCount, HEADINGS });
  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.pages.add("caches", {
    enter: () => {
      draw();
      load();
    },
    draw: refresh,
    leave: () => under && under.abort(),
  });
})();
