/* Who one is here, and what one may press.

   GET /performance/session once: where no key is asked for, nothing else happens. Where one is,
   what lies outside of one's scopes is marked data-denied, with the reason in its title, and its
   clicks go nowhere; the server refuses it anyway. An answer of 401 means that the session has
   ended: on to the login page, and back here after it.

   pyrometer.session.told()      the answer, or null
   pyrometer.session.may(scope)  true too where nobody asks
   pyrometer.session.ended()     the server knows this browser no more
   pyrometer.session.leaving()   true from then on, and while it is logged out
   pyrometer.session.logOut() */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const LIMIT_MS = 10000;
  const DENIED = "data-denied";
  /* What needs a scope: by a mark of its own, or by where it stands. */
  const NEEDS = {
    operate: [
      "#quick-warm", "#quick-flush", "#quick-capture", "[data-needs=operate]", "[data-action=warmup]", "[data-action=flush]",
      ":is([data-rows], [id^=benchmarks], [id^=reports], [id^=experiments]) [data-action=delete]",
      "[data-model-action]:not([data-model-action=plan])", "#warm-all", "#flush-all",
      "#caches-flush-all", "#model-list-warm-all", "#benchmarks-start", "#benchmarks-cancel",
      ".flame-start", ".flame-menu .danger", ".flame-file label", "#reports-measure", "#reports-cancel", "[data-advice]",
      "#experiments-create", "[id^=experiments-actions] [data-action]:not([data-action=again])",
      "[id^=experiments] [data-action=undo]",
    ].join(","),
    infer: ".try-send, [data-needs=infer]",
  };
  let told = null;
  let leaving = false;

  const may = (scope) => !told || !told.required || told.scopes.includes(scope);
  const reason = (scope) => `Needs the scope ${scope}; ${told.who || "nobody"} has ${told.scopes.join(", ") || "none"}`;

  function deny(node, scope) {
    if (node.getAttribute(DENIED) !== scope) node.setAttribute(DENIED, scope);
    if (node.getAttribute("aria-disabled") !== "true") node.setAttribute("aria-disabled", "true");
    if (node.title !== reason(scope)) node.title = reason(scope);
  }

  function mark() {
    for (const [scope, selector] of Object.entries(NEEDS)) {
      if (!may(scope)) for (const node of document.querySelectorAll(selector)) deny(node, scope);
    }
  }

  function watch() {
    let due = false;
    const soon = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        mark();
      });
    };
    new MutationObserver(soon).observe(document.body, {
      subtree: true, childList: true, attributes: true, attributeFilter: ["aria-disabled", "title"],
    });
    const stop = (event) => {
      const node = event.target.closest && event.target.closest(`[${DENIED}]`);
      if (!node) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      pyrometer.toast("warning", "Not allowed", node.title);
    };
    document.addEventListener("click", stop, true);
    mark();
  }

  function ended() {
    if (leaving) return;
    leaving = true;
    const here = pyrometer.base.strip(location.pathname) + location.search;
    location.assign(pyrometer.base.at(`/login?next=${encodeURIComponent(here)}`));
  }

  /* From here on nothing is asked that only who is logged in may ask. */
  async function logOut() {
    leaving = true;
    try {
      await pyrometer.post("/logout", {}, LIMIT_MS);
    } catch (failure) {
      leaving = false;
      throw failure;
    }
    location.assign(pyrometer.base.at("/login"));
  }

  async function load() {
    const response = await fetch("/performance/session", { cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS) });
    if (!response.ok) return;
    told = await response.json();
    document.documentElement.dataset.access = told.required ? "asked" : "open";
    if (told.required && !(may("operate") && may("infer"))) watch();
  }

  /* Back to a page that the browser had kept: it asks again, and learns who it is. */
  addEventListener("pageshow", (event) => {
    if (event.persisted) leaving = false;
  });

  pyrometer.session = { told: () => told, may, ended, leaving: () => leaving, logOut, ready: null };
  pyrometer.session.ready = load().catch(() => {});
})();
