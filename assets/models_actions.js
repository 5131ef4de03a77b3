/* What can be done with a model: warm up, reload, unload, pin, flush. Each button says what it
   will do; what takes long is told where the button stands; the outcome comes with figures.

   host {node, tag, tell(words)}: where the buttons are, what a question is asked in, and where
   progress is told. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { element, setText } = pyrometer.dom;
  const { number, bytes, known, plural } = pyrometer.format;
  const LOAD_LIMIT_MS = 600000;
  const QUICK_LIMIT_MS = 30000;
  const TELL_AFTER_MS = 500;

  const pathOf = (one) => encodeURIComponent(one.name);
  const took = (ms) => (ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`);
  const held = (one) => (known(one.memory_mb) ? ` (${bytes(one.memory_mb * 1e6)})` : "");

  const ACTIONS = {
    warmup: {
      verb: () => "Warm up", doing: "Warming up",
      title: () => "Loads it and runs 1, 8 and 32 rows through it, so that its first request is fast",
      act: (one, show) => pyrometer.actions.warm(one.name, show),
    },
    reload: {
      verb: () => "Reload", doing: "Reloading",
      title: () => "Looks at the repository again and loads the model where it changed, failed or is degraded",
      act: (one, show) => run("Reload", "Reloaded", one, show, reload),
    },
    unload: {
      verb: () => "Unload", doing: "Unloading",
      title: () => "Drops it from memory; it answers no request until it is loaded again",
      confirm: (one) => `Unload ${one.name}${held(one)}? It answers no request until it is loaded again.`,
      act: (one, show) => run("Unload", "Unloaded", one, show, unload),
    },
    pin: {
      verb: (one) => (one.pinned ? "Unpin" : "Pin"), doing: "Pinning",
      title: (one) => (one.pinned ? "Lets it be evicted like any other" : "Keeps it in memory whatever the budget wants"),
      act: (one, show) => run(one.pinned ? "Unpin" : "Pin", one.pinned ? "Unpinned" : "Pinned", one, show, pin),
    },
    flush: {
      verb: () => "Flush", doing: "Flushing",
      title: () => "Empties the caches of this model's answers; its next requests run it again",
      confirm: flushQuestion,
      act: (one, show) => pyrometer.actions.flush({ model: one.name }, one.name, show),
    },
  };

  function run(verb, done, one, show, work) {
    const what = {
      key: `${verb.toLowerCase()} ${one.name}`, doing: `${verb} ${one.name}`,
      done: `${done} ${one.name}`, failed: `${verb} ${one.name} failed`,
    };
    return pyrometer.actions.run(what, () => work(one), show);
  }

  async function reload(one) {
    const began = performance.now();
    const answer = await pyrometer.post(`/v2/repository/models/${pathOf(one)}/load`, {}, LOAD_LIMIT_MS);
    const time = took(performance.now() - began);
    const about = await models.get(`/performance/models/${pathOf(one)}`).catch(() => null);
    const now = about && about.versions.find((version) => version.serving);
    if (!now || !now.backend) return { text: `Version ${answer.version} is warm; took ${time}` };
    return { text: `Version ${now.version} is warm as ${now.backend}, ${bytes((now.memory_mb || 0) * 1e6)}; took ${time}` };
  }

  async function unload(one) {
    await pyrometer.post(`/v2/repository/models/${pathOf(one)}/unload`, {}, QUICK_LIMIT_MS);
    const freed = known(one.memory_mb) ? `, ${bytes(one.memory_mb * 1e6)} freed` : "";
    return { text: `${one.name} left memory${freed}; Reload brings it back` };
  }

  const pin = (one) =>
    pyrometer.post(`/performance/models/${pathOf(one)}/pin`, { pinned: !one.pinned, version: one.version }, QUICK_LIMIT_MS);

  /* What would go, where the server tells it at once. */
  async function flushQuestion(one) {
    const caches = await models.get("/performance/cache", AbortSignal.timeout(2000)).catch(() => null);
    const mine = caches && (caches.models || []).find((model) => model.model === one.name);
    const tiers = mine && mine.held ? Object.entries(mine.held).filter(([tier]) => tier !== "models").map(([, kept]) => kept) : [];
    const sum = (field) => tiers.reduce((total, kept) => total + (kept[field] || 0), 0);
    const what = mine ? `${plural(sum("items"), "cached answer")}, ${bytes(sum("bytes"))},` : "the cached answers";
    return `Flush ${what} of ${one.name}? Its next requests run the model again.`;
  }

  /* Told where the button stands, once it has been going long enough to be worth a word. */
  function telling(host, words) {
    let soon = null;
    return (seconds) => {
      clearTimeout(soon);
      if (seconds === null) host.tell("");
      else if (seconds > 0) host.tell(`${words}, ${seconds} s`);
      else soon = setTimeout(() => host.tell(words), TELL_AFTER_MS);
    };
  }

  async function perform(kind, host, one) {
    const action = ACTIONS[kind];
    if (host.node.classList.contains("confirming")) return;
    if (action.confirm) {
      const question = await action.confirm(one);
      if (host.node.classList.contains("confirming")) return;
      if (!(await pyrometer.actions.confirmInPlace(host.node, host.tag, question, `${action.verb(one)} ${one.name}`))) return;
    }
    setBusy(host.node, true);
    await action.act(one, telling(host, action.doing));
    setBusy(host.node, false);
    models.detail.refresh();
  }

  /* A button that waits keeps the focus, unlike one that is disabled. */
  function setBusy(node, busy) {
    node.dataset.busy = busy ? "yes" : "";
    for (const button of node.querySelectorAll("[data-model-action]")) button.setAttribute("aria-disabled", String(busy));
  }

  function button(kind, host, modelOf) {
    const node = element("button", "action btn btn-sm btn-link");
    node.type = "button";
    node.dataset.modelAction = kind;
    node.addEventListener("click", () => {
      if (node.getAttribute("aria-disabled") !== "true" && modelOf()) perform(kind, host, modelOf());
    });
    return node;
  }

  /* The five buttons. modelOf(): the model as it is when one of them is pressed. */
  function buttons(host, modelOf) {
    return element("div", "models-buttons", Object.keys(ACTIONS).map((kind) => button(kind, host, modelOf)));
  }

  function refresh(node, one) {
    for (const [kind, action] of Object.entries(ACTIONS)) {
      const place = node.querySelector(`[data-model-action=${kind}]`);
      setText(place, action.verb(one));
      const label = `${action.verb(one)} ${one.name}`;
      if (place.getAttribute("aria-label") !== label) place.setAttribute("aria-label", label);
      if (place.title !== action.title(one)) place.title = action.title(one);
    }
    const absent = one.state === "cold" || one.state === "failed";
    const unload = node.querySelector("[data-model-action=unload]");
    const off = String(Boolean(node.dataset.busy) || absent);
    if (unload.getAttribute("aria-disabled") !== off) unload.setAttribute("aria-disabled", off);
    if (absent) unload.title = "It is not in memory";
  }

  function warmAll(node) {
    const words = node.querySelector(".button-text");
    const told = `Warming up ${plural(models.grouped(pyrometer.state).length, "model")}`;
    return pyrometer.actions.warm(null, (seconds) => {
      node.setAttribute("aria-disabled", String(seconds !== null));
      setText(words, seconds === null ? "Warm up all" : seconds > 0 ? `${told}, ${seconds} s` : told);
    });
  }

  /* A GET as JSON; throws an Error with the server's own words. */
  async function get(path, signal) {
    const limit = AbortSignal.timeout(20000);
    const response = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit, cache: "no-store" });
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      const failure = new Error((answer && answer.error) || `HTTP ${response.status}`);
      failure.status = response.status;
      throw failure;
    }
    return answer;
  }

  models.get = get;
  models.actions = { buttons, refresh, warmAll };
})();
