/* The page's controls: views, filters, comparison, search. Each writes the address; the page
   reads it back, so a control never holds what the address does not. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, count } = pyrometer.format;
  const LABEL_MAX = 60;
  const SEARCH_AFTER_MS = 150;
  const KINDS = { request: "requests", engine: "engine", console: "console", system: "system", idle: "idle" };
  let found = null; // the search's line of words
  let input = null;

  const short = (text) => (text.length > LABEL_MAX ? `${text.slice(0, LABEL_MAX - 1)}…` : text);

  function option(value, words) {
    const node = element("option", "", short(String(words)));
    node.value = value;
    return node;
  }

  /* Write a select anew only where its options changed, so that an open list stays open. */
  function choices(select, options, value) {
    const key = JSON.stringify(options);
    if (select.dataset.options !== key) {
      select.dataset.options = key;
      select.replaceChildren(...options.map((one) => {
        if (!one.group) return option(...one);
        const group = element("optgroup", "", one.of.map((inner) => option(...inner)));
        group.label = one.group;
        return group;
      }));
    }
    if (select.value !== value) select.value = value;
  }

  /* The value stays to be chosen where the answer does not name it. */
  function withValue(options, value, words) {
    const values = options.flatMap((one) => (one.group ? one.of : [one])).map((one) => one[0]);
    return !value || values.includes(value) ? options : [...options, [value, words || value]];
  }

  function fill(params, answer, captures) {
    const offered = (answer && answer.options) || {};
    const lists = {
      model: (offered.models || []).map((name) => [name, name]),
      version: (offered.versions || []).map((name) => [name, name]),
      route: (offered.routes || []).map((name) => [name, name]),
      thread: (offered.threads || []).map((name) => [name, name]),
      kind: (offered.kinds || Object.keys(KINDS)).map((name) => [name, KINDS[name] || name]),
      capture: captures.map((one) => [one.id, flame.captures.label(one)]),
    };
    for (const [key, list] of Object.entries(lists)) {
      const select = byId(`flame-${key}`);
      const nothing = [["", { kind: "all but idle", capture: "always on" }[key] || "all"]];
      choices(select, withValue([...nothing, ...list], params[key] || ""), params[key] || "");
      select.disabled = params.view === "phases" && !flame.state.PHASE_FILTERS.includes(key);
    }
    compare(params, lists);
    setText(byId("flame-filters-words"), chosenWords(params));
  }

  function compare(params, lists) {
    const value = flame.state.choice(params);
    const events = flame.state.events();
    const other = (key, label) => ({
      group: label,
      of: lists[key].filter(([name]) => name !== params[key]).map(([name, words]) => [`${key}:${name}`, words]),
    });
    const groups = [
      other("model", "Another model"),
      other("version", "Another version"),
      other("capture", "A capture or file"),
      { group: "Before and after", of: events.map((event) => [`event:${event.t}`, `${clock(event.t)} ${event.kind}: ${event.text}`]) },
    ].filter((group) => group.of.length);
    const plain = [["", "nothing"], ["before", "the window before"], ["last:1h", "the hour before"]];
    const custom = params.against_from ? `before ${clock(Number(params.against_to))}` : "";
    choices(byId("flame-compare"), withValue([...plain, ...groups], value, custom), value);
    byId("flame-compare").disabled = params.view === "phases";
  }

  function chosenWords(params) {
    const set = flame.state.FILTERS.filter((key) => params[key]).map((key) => `${key} ${short(params[key])}`);
    if (flame.state.choice(params)) set.push("compared");
    return set.length ? set.join(", ") : "none chosen";
  }

  function mark(params) {
    const view = params.view === "phases" ? "phases" : "code";
    for (const tab of document.querySelectorAll(".flame-tab")) {
      const on = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    byId("flame-page").dataset.view = view;
    byId("flame-measure").value = params.measure || "cpu";
    for (const name of ["collapse", "invert"]) byId(`flame-${name}`).setAttribute("aria-pressed", String(params[name] === "1"));
    const title = view === "phases" ? "Time by model, route and phase" : "Where the code spends its time";
    setText(byId("panel-flame-title"), title);
    if (document.activeElement !== input) input.value = params.q || "";
    input.placeholder = view === "phases" ? "Search: text or regular expression" : "Search functions: text or regular expression";
  }

  /* "12 matches, 34.5 %, 3 in the zoomed part", or why there are none. */
  function tell(answer, query) {
    if (!query) return setText(found, "");
    const inside = answer.inside === null ? "" : `, ${answer.inside ? count(answer.inside) : "none"} in the zoomed part`;
    const words = `${count(answer.count)} ${answer.count === 1 ? "match" : "matches"}, ${flame.words.percent(answer.share)}${inside}`;
    found.dataset.problem = answer.problem ? "yes" : "";
    found.title = answer.problem;
    return setText(found, answer.problem ? `${answer.problem}. ${words}` : words);
  }

  function searchBox() {
    input = element("input", "flame-search");
    input.id = "flame-search";
    input.type = "search";
    input.title = "/ comes here from anywhere on the page";
    input.setAttribute("aria-label", "Search, text or regular expression");
    input.setAttribute("aria-keyshortcuts", "/");
    input.spellcheck = false;
    input.autocomplete = "off";
    found = element("div", "flame-found num");
    found.id = "flame-found";
    found.setAttribute("role", "status");
    let waiting = 0;
    const search = () => {
      clearTimeout(waiting);
      pyrometer.url.set({ q: input.value });
    };
    input.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(search, SEARCH_AFTER_MS);
    });
    input.addEventListener("change", search); // it is left: what was typed counts at once
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !input.value) return;
      event.preventDefault();
      input.value = "";
      search();
    });
    byId("flame-find").replaceChildren(input, found);
  }

  function requestField() {
    const field = element("input", "flame-select");
    field.id = "flame-request";
    field.placeholder = "any";
    field.spellcheck = false;
    field.addEventListener("change", () => pyrometer.url.set({ request: field.value.trim(), zoom: null }, { push: true }));
    const label = element("label", "flame-field", [element("span", "flame-field-label", "Request id"), field]);
    byId("flame-filters").querySelector(".flame-fields").lastElementChild.before(label);
  }

  function switchTab(tab) {
    pyrometer.url.set({ view: tab.dataset.view === "phases" ? "phases" : null, zoom: null, focus: null }, { push: true });
  }

  function tabs() {
    const all = [...document.querySelectorAll(".flame-tab")];
    all.forEach((tab, at) => {
      tab.addEventListener("click", () => switchTab(tab));
      tab.addEventListener("keydown", (event) => {
        if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
        const next = all[(at + 1) % all.length];
        next.focus();
        switchTab(next);
      });
    });
  }

  function wire() {
    const { set } = pyrometer.url;
    for (const key of ["model", "version", "route", "thread", "kind", "capture"]) {
      byId(`flame-${key}`).addEventListener("change", (event) => set({ [key]: event.target.value, zoom: null }, { push: true }));
    }
    byId("flame-compare").addEventListener("change", (event) =>
      set(flame.state.chosen(event.target.value), { push: true }));
    byId("flame-measure").addEventListener("change", (event) =>
      set({ measure: event.target.value === "cpu" ? null : event.target.value }, { push: true }));
    for (const name of ["collapse", "invert"]) {
      byId(`flame-${name}`).addEventListener("click", () =>
        set({ [name]: pyrometer.url.get(name) === "1" ? null : "1", zoom: null }, { push: true }));
    }
    tabs();
    searchBox();
    requestField();
    if (matchMedia("(max-width: 699px)").matches) byId("flame-filters").open = false;
    document.addEventListener("keydown", slash);
    document.addEventListener("click", closeMenus);
    document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(event));
  }

  function slash(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (pyrometer.router.current() !== "flame" || document.querySelector("dialog[open]")) return;
    if (event.target.closest && event.target.closest("input, select, textarea, [contenteditable=true]")) return;
    event.preventDefault();
    input.focus();
    input.select();
  }

  /* A menu closes with Escape and with a click elsewhere. */
  function closeMenus(event) {
    for (const menu of document.querySelectorAll(".flame-menu[open]")) {
      if (event.type === "click" && menu.contains(event.target)) continue;
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (event.type === "keydown" && inside) menu.querySelector("summary").focus();
    }
  }

  function syncRequest(params) {
    const field = byId("flame-request");
    if (document.activeElement !== field) field.value = params.request || "";
  }

  flame.controls = {
    wire,
    tell,
    show(params, answer, captures) {
      mark(params);
      fill(params, answer, captures);
      syncRequest(params);
    },
  };
})();
