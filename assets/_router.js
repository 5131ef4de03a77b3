/* Pages and addresses. One layout holds every page as a section `view-<name>`; the one of the
   address is shown, the others are hidden and draw nothing.

   pyrometer.url      the query; range, live, compare and theme go along from page to page,
                      the other keys belong to their page
   pyrometer.pages    what a page does when it is shown, asked anew, left, and at each answer
   pyrometer.router   going from page to page, the title, where each page was scrolled to */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId } = pyrometer.dom;
  const SHARED = ["range", "live", "compare", "theme"];
  const SCROLLS_KEY = "pyrometer-scrolls";
  const MAX_SCROLLS = 50;

  const listeners = [];
  const handlers = new Map(); // page name -> [{enter, change, leave, draw}]
  let table = []; // [{name, path, title}]
  let shown = null; // name of the page that is shown
  let titlePrefix = "";

  // Addresses

  const query = () => new URLSearchParams(location.search);
  const address = (path, params, hash) => path + (String(params) ? `?${params}` : "") + hash;
  const here = () => address(location.pathname, query(), location.hash);

  function change(params, changes) {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") params.delete(key);
      else params.set(key, String(value));
    }
    return params;
  }

  /* The query of another page: its own keys, then those that go along. */
  function carried(own) {
    const params = change(new URLSearchParams(), own);
    const now = query();
    for (const key of SHARED) if (now.has(key) && !(key in own)) params.set(key, now.get(key));
    return params;
  }

  const newEntry = () => ({ entry: `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}` });

  function write(next, push) {
    if (push) history.pushState(newEntry(), "", next);
    else history.replaceState(history.state || newEntry(), "", next);
  }

  function tell() {
    for (const link of document.querySelectorAll(".rail-link[data-page]")) {
      const page = table.find((one) => one.name === link.dataset.page);
      if (page) link.href = address(pyrometer.base.at(page.path), carried({}), ""); // for a new tab
    }
    for (const listener of listeners) pyrometer.guard("url", () => listener(all()));
  }

  const all = () => Object.fromEntries(query());

  function set(changes, { push = false } = {}) {
    const next = address(location.pathname, change(query(), changes), location.hash);
    if (next === here()) return;
    write(next, push);
    run("change");
    tell();
  }

  // Scroll positions, an entry of the history each; kept over a reload

  let scrolls = {};

  function readScrolls() {
    try {
      scrolls = JSON.parse(sessionStorage.getItem(SCROLLS_KEY)) || {};
    } catch (refused) {
      scrolls = {};
    }
  }

  function keepScrolls() {
    const last = Object.entries(scrolls).slice(-MAX_SCROLLS);
    try {
      sessionStorage.setItem(SCROLLS_KEY, JSON.stringify(Object.fromEntries(last)));
    } catch (refused) {
      // a browser that keeps nothing starts at the top
    }
  }

  function noteScroll() {
    if (history.state && history.state.entry) scrolls[history.state.entry] = scrollY;
  }

  function scroll() {
    const target = location.hash.length > 1 ? byId(decodeURIComponent(location.hash.slice(1))) : null;
    const kept = scrolls[history.state && history.state.entry];
    const atOnce = { behavior: "instant" }; // Bootstrap makes scrolling smooth
    if (kept === undefined && target) target.scrollIntoView(atOnce);
    else scrollTo({ top: kept || 0, ...atOnce });
  }

  // Pages

  const pageAt = (path) => table.find((page) => page.path === pyrometer.base.strip(path));

  function run(event) {
    for (const handler of handlers.get(shown) || []) {
      if (handler[event]) pyrometer.guard(`page ${shown}`, () => handler[event](all()));
    }
  }

  function add(name, handler) {
    if (!handlers.has(name)) handlers.set(name, []);
    handlers.get(name).push(handler);
    if (name === shown && handler.enter) pyrometer.guard(`page ${name}`, () => handler.enter(all()));
  }

  function draw(state) {
    for (const handler of handlers.get(shown) || []) {
      if (handler.draw) pyrometer.guard(`page ${shown}`, () => handler.draw(state));
    }
  }

  function retitle() {
    const page = table.find((one) => one.name === shown);
    const title = page ? `${page.title} - ${byId("console").dataset.title}` : document.title;
    document.title = titlePrefix ? `${titlePrefix} - ${title}` : title;
  }

  function mark() {
    byId("console").dataset.page = shown;
    for (const view of document.querySelectorAll(".page-view")) view.hidden = view.id !== `view-${shown}`;
    for (const link of document.querySelectorAll(".rail-link[data-page]")) {
      if (link.dataset.page === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    retitle();
  }

  /* Show the page of the address; true when it is another than before. */
  function show() {
    const page = pageAt(location.pathname) || table[0];
    if (page.name === shown) {
      run("change");
      return false;
    }
    run("leave");
    shown = page.name;
    mark();
    run("enter");
    pyrometer.redraw();
    return true;
  }

  function arrive() {
    const moved = show();
    tell();
    if (moved) byId("page").focus({ preventScroll: true });
    scroll();
  }

  function go(path, params = {}, hash = "") {
    const next = address(pyrometer.base.at(path), carried(params), hash);
    if (!pageAt(path)) return location.assign(next);
    if (next !== here()) history.pushState(newEntry(), "", next);
    return arrive();
  }

  /* A plain click on a link to a page of ours; all others are the browser's. */
  function clicked(event) {
    const link = event.target.closest && event.target.closest('a[href^="/"]');
    if (!link || event.defaultPrevented || event.button !== 0 || link.target || link.hasAttribute("download")) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const to = new URL(link.href);
    if (to.origin !== location.origin || !pageAt(to.pathname)) return;
    event.preventDefault();
    go(to.pathname, Object.fromEntries(to.searchParams), to.hash);
  }

  /* An entry without a key is one of the browser's own: a link to a part of the page. */
  function popped() {
    if (history.state && history.state.entry) return arrive();
    history.replaceState(newEntry(), "");
    return tell();
  }

  /* Dash mounts the layout late: start with the first moment that it is there. */
  function begin() {
    if (!byId("page") || shown) return Boolean(shown);
    table = JSON.parse(byId("console").dataset.pages);
    history.scrollRestoration = "manual";
    readScrolls();
    if (!history.state || !history.state.entry) history.replaceState(newEntry(), "");
    for (const start of pyrometer.starters || []) pyrometer.guard("start", start);
    show();
    tell();
    scroll();
    document.addEventListener("click", clicked);
    addEventListener("popstate", popped);
    addEventListener("scroll", noteScroll, { passive: true });
    addEventListener("pagehide", keepScrolls);
    return true;
  }

  pyrometer.url = {
    get: (key) => query().get(key),
    all,
    set,
    on: (listener) => listeners.push(listener),
  };
  pyrometer.pages = { add, draw };
  pyrometer.router = {
    go,
    current: () => shown,
    title: () => (table.find((page) => page.name === shown) || { title: "" }).title,
    view: () => byId(`view-${shown}`),
    prefix: (words) => {
      titlePrefix = words;
      retitle();
    },
  };
  const watch = new MutationObserver(() => begin() && watch.disconnect());
  watch.observe(document.documentElement, { childList: true, subtree: true });
})();
