/* Models, caches, events: rows are kept and changed in place, so focus and hover survive. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, bytes, clock, day, plural, known } = pyrometer.format;
  const STATE_STATUS = { warm: "ok", loading: "warning", failed: "critical", cold: "unknown" };

  /* Keep one row per key, in the items' order; make(item) builds, fill(row, item) writes. */
  function rows(body, items, keyOf, make, fill) {
    const have = new Map([...body.children].map((row) => [row.dataset.key, row]));
    let previous = null;
    for (const item of items) {
      const key = keyOf(item);
      const row = have.get(key) || make(item);
      have.delete(key);
      row.dataset.key = key;
      const next = previous ? previous.nextSibling : body.firstChild;
      if (row !== next) body.insertBefore(row, next);
      fill(row, item);
      previous = row;
    }
    for (const row of have.values()) row.remove();
  }

  /* Fill every table of a kind on the page that is shown: its rows, and the words where none. */
  function fillTables(kind, items, keyOf, make, fill, blank) {
    for (const body of pyrometer.router.view().querySelectorAll(`[data-rows="${kind}"]`)) {
      rows(body, items, keyOf, make, fill);
      const note = body.closest(".table-scroll").querySelector(".table-empty");
      setText(note, blank);
      note.hidden = items.length > 0;
    }
  }

  const cell = (name, content, label, end) => {
    const node = element("td", `col-${name}${end ? " text-end" : ""}`, content);
    if (label) node.dataset.label = label;
    return node;
  };
  const twoLines = () => [element("div", "cell-1"), element("div", "cell-2")];
  const titled = (node, text) => {
    setText(node, text);
    if (node.title !== (text || "")) node.title = text || "";
  };

  function button(verb, label, press) {
    const node = element("button", "action btn btn-sm btn-link", verb);
    node.type = "button";
    node.setAttribute("aria-label", label);
    node.addEventListener("click", () => press(node));
    return node;
  }

  function modelRow(model) {
    const row = element("tr");
    row.dataset.model = model.name;
    const warm = button("Warm up", `Warm up ${model.name}`, () => pyrometer.actions.warmModel(row, model.name));
    warm.dataset.action = "warmup";
    warm.title = "Loads it and runs 1, 8 and 32 rows through it, so that its first request is fast";
    const plan = button("Plan", `Plan of ${model.name}`, (node) => pyrometer.plan.show(model.name, row.dataset.version, node));
    plan.dataset.action = "plan";
    plan.title = "Shows every form that was tried, how fast each is, and why this one serves";
    const mark = element("span", "mark");
    row.append(
      cell("model", twoLines()),
      cell("state", element("span", "state", [mark, element("span", "state-word")])),
      cell("plan", twoLines()),
      cell("requests", "", "requests", true),
      cell("p50", "", "p50 ms", true),
      cell("hits", "", "hits %", true),
      cell("quality"),
      cell("action", [plan, warm], "", true),
    );
    return row;
  }

  /* The plan's second line: what runs or just ran, else what is wrong, else the reason. */
  function remark(row, model) {
    if (row.dataset.progress) return row.dataset.progress;
    return model.error || model.degraded || model.reason || "";
  }

  /* "onnxruntime-f32, 4.6e+03x scikit-learn's speed", its figure as all others are written. */
  const planWords = (words) => (words || "").replace(/(\d[\d.,e+]*)x /, (_, times) => `${number(Number(times.replaceAll(",", "")))}× `);

  function aboutVersion(model) {
    const parts = [`version ${model.version}`];
    if (model.serving === false) parts.push("not serving");
    if (model.pinned) parts.push("pinned");
    if (model.encoder) parts.push(`on ${model.encoder}`);
    if (model.preload && model.serving !== false) parts.push("loads at start");
    return parts.join(", ");
  }

  function fillModel(row, model) {
    const [name, version] = row.querySelectorAll(".col-model > div");
    titled(name, model.name);
    row.dataset.version = model.version;
    titled(version, aboutVersion(model));
    setStatus(row.querySelector(".mark"), model.degraded ? "warning" : STATE_STATUS[model.state]);
    setText(row.querySelector(".state-word"), model.degraded ? "degraded" : model.state);
    row.dataset.state = model.state;
    const [plan, second] = row.querySelectorAll(".col-plan > div");
    titled(plan, planWords(model.plan) || model.backend || "not planned yet");
    titled(second, remark(row, model));
    second.classList.toggle("problem", Boolean(model.error || model.degraded) && !row.dataset.progress);
    setText(row.querySelector(".col-requests"), count(model.requests));
    setText(row.querySelector(".col-p50"), number(model.p50_ms));
    setText(row.querySelector(".col-hits"), percent(model.hit_percent));
    titled(row.querySelector(".col-quality"), model.quality || "–");
  }

  function drawModels(state) {
    const models = state.answer.models || [];
    const blank = "No models. Each folder of the model repository that holds a model appears here.";
    fillTables("models", models, (model) => `${model.name}\n${model.version}`, modelRow, fillModel, blank);
    const warm = models.filter((model) => model.state === "warm").length;
    setText(byId("readout-models"), models.length ? `${warm} of ${models.length} warm` : "");
    pyrometer.actions.allowWarmAll(models.length > 0);
  }

  function cacheRow(cache) {
    const row = element("tr");
    row.dataset.tier = cache.tier;
    const flush = button("Flush", `Flush ${cache.label}`, () => pyrometer.actions.flushTier(row, row.cache));
    flush.dataset.action = "flush";
    const fill = element("div", "meter-fill");
    row.append(
      cell("tier", twoLines()),
      cell("bytes", [element("div", "bytes-words"), element("div", "meter", fill)]),
      cell("hits", "", "hits", true),
      cell("misses", "", "misses", true),
      cell("evictions", "", "evicted", true),
      cell("rate", "", "hits %", true),
      cell("action", flush, "", true),
    );
    return row;
  }

  function fillCache(row, cache) {
    row.cache = cache;
    const [label, items] = row.querySelectorAll(".col-tier > div");
    titled(label, cache.label);
    setText(items, plural(cache.items, "item") + (cache.awake === false ? ", asleep: no use now" : ""));
    const bounded = cache.budget_bytes > 0;
    const used = bytes(cache.bytes);
    setText(row.querySelector(".bytes-words"), bounded ? `${used} of ${bytes(cache.budget_bytes)}` : used);
    const share = bounded && known(cache.bytes) ? Math.min(100, (100 * cache.bytes) / cache.budget_bytes) : 0;
    row.querySelector(".meter-fill").style.width = `${share.toFixed(1)}%`;
    setText(row.querySelector(".col-hits"), count(cache.hits));
    setText(row.querySelector(".col-misses"), count(cache.misses));
    setText(row.querySelector(".col-evictions"), count(cache.evictions));
    setText(row.querySelector(".col-rate"), percent(cache.hit_percent));
    row.querySelector("[data-action]").disabled = !cache.items;
  }

  function drawCaches(state) {
    const caches = state.answer.caches || [];
    fillTables("caches", caches, (cache) => cache.tier, cacheRow, fillCache, "No caches: every request runs its model");
    pyrometer.actions.allowFlushAll(caches);
  }

  function queueRow(queue) {
    const row = element("tr");
    row.dataset.queue = queue.queue;
    const fill = element("div", "meter-fill");
    row.append(
      cell("queue", element("div", "cell-1")),
      cell("bytes", [element("div", "bytes-words"), element("div", "meter", fill)]),
      cell("refused", "", "refused", true),
      cell("failed", "", "failed", true),
      cell("note"),
    );
    return row;
  }

  function fillQueue(row, queue) {
    titled(row.querySelector(".cell-1"), queue.label);
    const show = queue.unit === "bytes" ? bytes : count;
    const words = `${show(queue.used)} of ${show(queue.limit)}${queue.unit === "bytes" ? "" : ` ${queue.unit}`}`;
    setText(row.querySelector(".bytes-words"), words);
    const share = queue.limit > 0 ? Math.min(100, (100 * queue.used) / queue.limit) : 0;
    row.querySelector(".meter-fill").style.width = `${share.toFixed(1)}%`;
    setText(row.querySelector(".col-refused"), count(queue.refused));
    setText(row.querySelector(".col-failed"), count(queue.failed));
    titled(row.querySelector(".col-note"), queue.text);
  }

  function drawQueues(state) {
    const queues = state.answer.queues || [];
    fillTables("queues", queues, (queue) => queue.queue, queueRow, fillQueue, "Queues appear with the first figures");
  }

  function eventRow() {
    return element("li", "", [
      element("time", "num"), element("span", "event-kind"), element("span", "event-text"),
    ]);
  }

  function fillEvent(row, event) {
    const time = row.querySelector("time");
    setText(time, clock(event.t));
    time.title = `${day(event.t)} ${clock(event.t)}`;
    row.dataset.kind = event.kind;
    setText(row.querySelector(".event-kind"), event.kind);
    titled(row.querySelector(".event-text"), event.text);
  }

  function drawEvents(state) {
    const events = [...(state.answer.events || [])].sort((a, b) => b.t - a.t);
    const keyOf = (event) => `${event.t} ${event.kind} ${event.text}`;
    fillTables("events", events, keyOf, eventRow, fillEvent, "Loads, warm-ups, flushes and failures will be listed here");
  }

  pyrometer.tables = { fillTables, rows, cell, twoLines, titled, button };
  for (const draw of [drawModels, drawCaches, drawQueues, drawEvents]) pyrometer.pages.add("live", { draw });
  pyrometer.pages.add("system", { draw: drawQueues });
})();
