/* What can be done to the engine: warm up and flush. Each says what it will do, shows that it
   runs, then what it did, in the server's own words and always as text.

   pyrometer.actions.run({key, doing, done, failed, seconds}, work, show) is the one way: of a
   key one runs at a time, and whoever presses again gets the same promise. work() resolves to
   {text, follow} for the toast; show(seconds) is told once a second, null at the end. The
   promise resolves to what work gave, or to null where it failed. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { bytes, plural } = pyrometer.format;
  const WARMUP_LIMIT_MS = 600000;
  const FLUSH_LIMIT_MS = 30000;
  const underWay = new Map(); // key -> promise

  async function attempt(what, work, show) {
    const began = performance.now();
    const tell = () => show(Math.floor((performance.now() - began) / 1000));
    tell();
    const timer = setInterval(tell, 1000);
    const progress = pyrometer.progress(what.doing, what.seconds);
    try {
      const answer = await work();
      progress.end("ok", what.done, answer.text || "Done", answer.follow);
      return answer;
    } catch (failure) {
      progress.end("critical", what.failed, failure.message || String(failure));
      return null;
    } finally {
      clearInterval(timer);
      show(null);
      pyrometer.poll();
    }
  }

  function run(what, work, show = () => {}) {
    if (!underWay.has(what.key)) {
      underWay.set(what.key, attempt(what, work, show).finally(() => underWay.delete(what.key)));
    }
    return underWay.get(what.key);
  }

  // By name, from anywhere

  /* The tiers that a flush of all means: models leave memory only when they are named. */
  const dataCaches = () => pyrometer.state.answer.caches.filter((cache) => cache.tier !== "models");

  /* A warm-up that failed is answered with 200 and says so. */
  async function warmedUp(models) {
    const answer = await pyrometer.post("/performance/warmup", models ? { models } : {}, WARMUP_LIMIT_MS);
    if ((answer.results || []).some((result) => result.error)) throw new Error(answer.text);
    return answer;
  }

  /* name: a model, or null for all. */
  function warm(name, show) {
    const all = name === null;
    const models = plural(pyrometer.state.answer.models.length, "model");
    return run(
      {
        key: all ? "warm" : `warm ${name}`,
        doing: `Warming up ${all ? models : name}`,
        done: `Warmed up ${all ? "all models" : name}`,
        failed: all ? "Not all models warmed up" : `Warm up ${name} failed`,
      },
      () => warmedUp(all ? null : [name]),
      show,
    );
  }

  /* body: {}, {tier} or {model}; label: what that is, in words. */
  function flush(body, label, show) {
    return run(
      {
        key: `flush ${JSON.stringify(body)}`,
        doing: `Flushing ${label}`,
        done: `Flushed ${label}`,
        failed: `Flush ${label} failed`,
      },
      () => pyrometer.post("/performance/cache/clear", body, FLUSH_LIMIT_MS),
      show,
    );
  }

  /* What a flush of these caches would cost, as a question. */
  function flushCost(caches) {
    const sum = (field) => caches.reduce((total, cache) => total + (cache[field] || 0), 0);
    if (caches.length === 1 && caches[0].tier === "models") {
      return `Drop ${plural(sum("items"), "model")}, ${bytes(sum("bytes"))}, from memory? Their next requests load them again.`;
    }
    return `Flush ${plural(sum("items"), "item")}, ${bytes(sum("bytes"))}? The next requests run their models again.`;
  }

  // The buttons of the pages

  const elapsed = (seconds) => (seconds > 0 ? `, ${seconds} s` : "");
  const busy = (button, running) => button.setAttribute("aria-disabled", String(running)); // keeps the focus, unlike disabled

  function warmModel(row, name) {
    const button = row.querySelector("[data-action=warmup]");
    const second = row.querySelector(".col-plan > .cell-2");
    return warm(name, (seconds) => {
      const running = seconds !== null;
      busy(button, running);
      setText(button, running ? `Warming${elapsed(seconds)}` : "Warm up");
      row.dataset.progress = running ? "Loading, then running 1, 8 and 32 rows" : "";
      if (!running) pyrometer.redraw();
      else if (second) setText(second, row.dataset.progress);
    });
  }

  function warmAll() {
    const button = byId("warm-all");
    const models = plural(pyrometer.state.answer.models.length, "model");
    return warm(null, (seconds) => {
      const running = seconds !== null;
      busy(button, running);
      const words = running ? `Warming up ${models}${elapsed(seconds)}` : "Warm up all";
      setText(button.querySelector(".button-text"), words);
    });
  }

  /* Ask in the place of `host`'s content; resolves to true when confirmed. */
  function confirmInPlace(host, tag, text, verb) {
    return new Promise((resolve) => {
      const from = document.activeElement;
      const yes = element("button", "action danger btn btn-sm", verb);
      const no = element("button", "action btn btn-sm btn-link", "Keep");
      yes.type = no.type = "button";
      yes.dataset.action = "confirm";
      no.dataset.action = "keep";
      const line = element("div", "confirm-line", [element("span", "confirm-text", text), no, yes]);
      const asked = element(tag, "confirm", line);
      if (tag === "td") asked.colSpan = host.children.length;
      else asked.className = "confirm confirm-line";
      const end = (answer) => {
        asked.remove();
        host.classList.remove("confirming");
        if (from) from.focus();
        resolve(answer);
      };
      yes.addEventListener("click", () => end(true));
      no.addEventListener("click", () => end(false));
      asked.addEventListener("keydown", (event) => event.key === "Escape" && end(false));
      host.classList.add("confirming");
      host.append(asked);
      no.focus(); // Enter by mistake keeps the cache
    });
  }

  function flushWith(button, body, label) {
    const words = button.querySelector(".button-text") || button;
    const verb = words.textContent;
    return flush(body, label, (seconds) => setText(words, seconds === null ? verb : "Flushing"));
  }

  async function flushTier(row, cache) {
    if (row.classList.contains("confirming")) return;
    const verb = `Flush ${cache.label.toLowerCase()}`;
    if (!(await confirmInPlace(row, "td", flushCost([cache]), verb))) return;
    flushWith(row.querySelector("[data-action=flush]"), { tier: cache.tier }, cache.label);
  }

  async function flushAll() {
    const head = byId("panel-caches-head");
    if (head.classList.contains("confirming")) return;
    const text = flushCost(dataCaches());
    if (!(await confirmInPlace(head, "div", text, "Flush all caches"))) return;
    flushWith(byId("flush-all"), {}, "all caches");
  }

  const allow = (id, allowed) => {
    if (byId(id).disabled === allowed) byId(id).disabled = !allowed;
  };

  pyrometer.actions = {
    run,
    warm,
    warmModel,
    flush,
    flushCost,
    dataCaches,
    flushTier,
    confirmInPlace,
    allowWarmAll: (allowed) => allow("warm-all", allowed),
    allowFlushAll: (caches) => allow("flush-all", caches.some((cache) => cache.items > 0)),
  };
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("warm-all").addEventListener("click", warmAll);
    byId("flush-all").addEventListener("click", flushAll);
  });
})();
