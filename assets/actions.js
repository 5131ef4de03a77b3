/* What can be pressed: warm-up and flush. Each says what it will do, shows that it runs, then
   what it did, in the server's own words and always as text. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { bytes, plural } = pyrometer.format;
  const WARMUP_LIMIT_MS = 600000;
  const FLUSH_LIMIT_MS = 30000;
  const TOAST_MS = 12000;
  const MAX_TOASTS = 4;

  function toast(status, title, text) {
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const mark = element("span", "mark");
    mark.dataset.status = status;
    const node = element("div", "toast show", [
      mark,
      element("div", "toast-text", [
        element("div", "toast-title", title), element("div", "toast-detail", text),
      ]),
      close,
    ]);
    node.setAttribute("role", status === "ok" ? "status" : "alert");
    node.dataset.status = status;
    close.addEventListener("click", () => node.remove());
    const host = byId("toasts");
    host.append(node);
    while (host.children.length > MAX_TOASTS) host.firstChild.remove();
    if (status === "ok") leaveLater(node);
  }

  /* Good news goes by itself, but not while it is being read; a failure stays. */
  function leaveLater(node) {
    setTimeout(() => {
      if (node.matches(":hover, :focus-within")) leaveLater(node);
      else node.remove();
    }, TOAST_MS);
  }

  /* Run with `show(seconds)` once a second; toast the outcome; poll at once. */
  async function run(what, url, body, limitMs, show) {
    const began = performance.now();
    const tell = () => show(Math.floor((performance.now() - began) / 1000));
    tell();
    const timer = setInterval(tell, 1000);
    try {
      const answer = await pyrometer.post(url, body, limitMs);
      toast("ok", what.done, answer.text || "Done");
    } catch (failure) {
      toast("critical", what.failed, failure.message);
    } finally {
      clearInterval(timer);
      show(null);
      pyrometer.poll();
    }
  }

  const elapsed = (seconds) => (seconds > 0 ? `, ${seconds} s` : "");

  function warmModel(row, name) {
    const button = row.querySelector("[data-action=warmup]");
    if (button.getAttribute("aria-disabled") === "true") return;
    const second = row.querySelector(".col-plan > .cell-2");
    run(
      { done: `Warmed up ${name}`, failed: `Warm up ${name} failed` },
      "/performance/warmup", { models: [name] }, WARMUP_LIMIT_MS,
      (seconds) => {
        const running = seconds !== null;
        button.setAttribute("aria-disabled", String(running)); // keeps the focus, unlike disabled
        setText(button, running ? `Warming${elapsed(seconds)}` : "Warm up");
        row.dataset.progress = running ? "Loading, then running 1, 8 and 32 rows" : "";
        if (running) setText(second, row.dataset.progress);
        else pyrometer.redraw();
      },
    );
  }

  function warmAll() {
    const button = byId("warm-all");
    if (button.getAttribute("aria-disabled") === "true") return;
    const models = pyrometer.state.answer.models.length;
    run(
      { done: "Warmed up all models", failed: "Warm up all failed" },
      "/performance/warmup", {}, WARMUP_LIMIT_MS,
      (seconds) => {
        const running = seconds !== null;
        button.setAttribute("aria-disabled", String(running));
        const words = running ? `Warming up ${plural(models, "model")}${elapsed(seconds)}` : "Warm up all";
        setText(button.querySelector(".button-text"), words);
      },
    );
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

  function flush(body, label, button) {
    const words = button.querySelector(".button-text") || button;
    const verb = words.textContent;
    run(
      { done: `Flushed ${label}`, failed: `Flush ${label} failed` },
      "/performance/cache/clear", body, FLUSH_LIMIT_MS,
      (seconds) => setText(words, seconds === null ? verb : "Flushing"),
    );
  }

  const cost = (items, size) =>
    `Flush ${plural(items, "item")}, ${bytes(size)}? The next requests run their models again.`;

  async function flushTier(row, cache) {
    const verb = `Flush ${cache.label.toLowerCase()}`;
    if (!(await confirmInPlace(row, "td", cost(cache.items, cache.bytes), verb))) return;
    flush({ tier: cache.tier }, cache.label, row.querySelector("[data-action=flush]"));
  }

  async function flushAll() {
    const caches = pyrometer.state.answer.caches;
    const sum = (field) => caches.reduce((total, cache) => total + (cache[field] || 0), 0);
    const text = cost(sum("items"), sum("bytes"));
    if (!(await confirmInPlace(byId("panel-caches-head"), "div", text, "Flush all caches"))) return;
    flush({}, "all caches", byId("flush-all"));
  }

  const allow = (id, allowed) => {
    if (byId(id).disabled === allowed) byId(id).disabled = !allowed;
  };

  pyrometer.toast = toast;
  pyrometer.actions = {
    warmModel,
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
