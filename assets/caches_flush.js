/* Flush a tier, a model or all: ask in place, show that it runs, say what was freed. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, setText } = pyrometer.dom;
  const { bytes, plural } = pyrometer.format;
  const PATH = "/performance/cache/clear";
  const LIMIT_MS = 30000;

  const idle = (button) => button.getAttribute("aria-disabled") !== "true";

  /* POST, with the seconds on the button; then the outcome in the server's words. */
  async function flush(body, what, button) {
    const words = button.querySelector(".button-text") || button;
    const verb = words.textContent;
    const began = performance.now();
    const tell = () => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      setText(words, seconds > 0 ? `Flushing, ${seconds} s` : "Flushing");
    };
    tell();
    const timer = setInterval(tell, 1000);
    button.setAttribute("aria-disabled", "true");
    try {
      const done = await pyrometer.post(PATH, body, LIMIT_MS);
      pyrometer.toast("ok", `Flushed ${what}`, done.text || "Done");
    } catch (failure) {
      pyrometer.toast("critical", `Flush ${what} failed`, failure.message);
    } finally {
      clearInterval(timer);
      setText(words, verb);
      button.removeAttribute("aria-disabled");
      pyrometer.poll();
      caches.load();
    }
  }

  const onDisk = (disk) => (disk && disk.items ? ` and ${plural(disk.items, "item")} on disk` : "");

  const everywhere = () => (caches.shares ? ", here and on all servers that share results" : "");

  function costOf(tier) {
    if (tier.tier === "models") {
      return `Drop ${plural(tier.items, "model")}, ${bytes(tier.bytes)}, but those in use or pinned? Their next requests wait for a load.`;
    }
    return `Flush ${plural(tier.items, "item")}, ${bytes(tier.bytes)}${onDisk(tier.disk)}${tier.tier === "results" ? everywhere() : ""}? The next requests run their models again.`;
  }

  async function flushTier(row, tier, button) {
    if (!idle(button)) return;
    const what = tier.label.toLowerCase();
    if (!(await pyrometer.actions.confirmInPlace(row, "td", costOf(tier), `Flush ${what}`))) return;
    await flush({ tier: tier.tier }, what, button);
  }

  async function flushModel(row, model, button) {
    if (!idle(button)) return;
    const whole = caches.heldIn(model, caches.TIERS) || { items: 0, bytes: 0 };
    const name = model.model.length > 40 ? `${model.model.slice(0, 39)}…` : model.model;
    const text = `Flush ${plural(whole.items, "item")}, ${bytes(whole.bytes)}${onDisk(caches.heldIn(model, caches.DISKS))} of ${name}${everywhere()}? Its next requests run it again.`;
    if (!(await pyrometer.actions.confirmInPlace(row, "td", text, "Flush model"))) return;
    await flush({ model: model.model }, name, button);
  }

  async function flushAll(answer) {
    const button = byId("caches-flush-all");
    if (!idle(button)) return;
    const data = answer.tiers.filter((tier) => tier.tier !== "models");
    const total = (field) => caches.sum(data.map((tier) => tier[field]));
    const disk = { items: caches.sum(data.map((tier) => tier.disk && tier.disk.items)) };
    const text = `Flush ${plural(total("items"), "item")}, ${bytes(total("bytes"))}${onDisk(disk)}${everywhere()}? The next requests run their models again. Models stay loaded.`;
    if (!(await pyrometer.actions.confirmInPlace(byId("panel-caches-tiers-head"), "div", text, "Flush all caches"))) return;
    await flush({}, "all caches", button);
  }

  Object.assign(caches, { flushTier, flushModel, flushAll });
})();
