/* The Requests page: which requests were kept, filtered and sorted as the address says.

   GET /performance/slow-requests every REFRESH_MS while the page is shown and the figures are
   live. A request that was kept both as one of the slowest and as a sample is listed once. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, clock, day, known } = pyrometer.format;
  const PATH = "/performance/slow-requests";
  const REFRESH_MS = 5000;
  const MOST = 500; // rows drawn
  const FILTERS = ["model", "route", "outcome", "least"];
  const ORDERS = {
    time: (one, other) => other.finished_at - one.finished_at,
    model: (one, other) => words(one.model).localeCompare(words(other.model)),
    route: (one, other) => words(one.endpoint).localeCompare(words(other.endpoint)),
    status: (one, other) => other.status - one.status,
    duration: (one, other) => other.duration_ms - one.duration_ms,
    why: (one, other) => words(one.why).localeCompare(words(other.why)),
    cache: (one, other) => words(one.cache).localeCompare(words(other.cache)),
    form: (one, other) => words(one.backend).localeCompare(words(other.backend)),
  };
  const TEXT_COLUMNS = new Set(["model", "route", "why", "cache", "form"]);
  let all = null; // exemplars, or null before the first answer
  let under = null;
  let finishedAt = -Infinity;
  let problem = "";

  function words(value) {
    return value === null || value === undefined ? "" : String(value);
  }

  const failed = (one) => one.status >= 400 || Boolean(one.error);
  const keyOf = (one) => `${one.request_id}\n${one.finished_at}`;

  function once(exemplars) {
    const kept = new Map();
    for (const one of exemplars) {
      const key = keyOf(one);
      if (!kept.has(key) || one.why === "slowest") kept.set(key, one);
    }
    return [...kept.values()];
  }

  async function load() {
    if (under) return;
    under = new AbortController();
    try {
      const answer = await flame.state.ask(PATH, under.signal);
      all = once(answer.exemplars || []);
      problem = "";
    } catch (failure) {
      problem = failure.message;
    } finally {
      under = null;
      finishedAt = performance.now();
    }
    if (pyrometer.router.current() === "requests") draw();
  }

  // Which of them

  /* The page's range; an open end where it rolls. */
  function inRange(one) {
    const { from, to, rolling } = pyrometer.time.range();
    return one.finished_at >= from && (rolling || one.finished_at <= to);
  }

  function chosen(params) {
    const least = Number(params.least) || 0;
    return all.filter((one) =>
      inRange(one)
      && (!params.model || words(one.model) === params.model)
      && (!params.route || words(one.endpoint) === params.route)
      && (!params.outcome || (params.outcome === "failed") === failed(one))
      && one.duration_ms >= least);
  }

  function sorted(rows, sort) {
    const key = sort.replace("-", "");
    const found = [...rows].sort((one, other) => (ORDERS[key] || ORDERS.time)(one, other) || ORDERS.time(one, other));
    return sort.startsWith("-") ? found.reverse() : found;
  }

  // The list

  function makeRow(one) {
    const { cell } = pyrometer.tables;
    const open = element("button", "requests-open num");
    open.type = "button";
    const mark = element("span", "mark");
    const row = element("tr", "", [
      cell("time", open),
      cell("model"),
      cell("route"),
      cell("status", element("span", "state", [mark, element("span", "state-word num")])),
      cell("duration", "", "ms", true),
      cell("why"),
      cell("cache", "", "cache"),
      cell("form", "", "form"),
    ]);
    row.addEventListener("click", () => select(one));
    return row;
  }

  function fillRow(row, one) {
    const { titled } = pyrometer.tables;
    const open = row.querySelector(".requests-open");
    setText(open, clock(one.finished_at));
    open.title = `${day(one.finished_at)} ${clock(one.finished_at)}, request ${one.request_id}`;
    titled(row.querySelector(".col-model"), words(one.model) || "–");
    titled(row.querySelector(".col-route"), words(one.endpoint));
    setText(row.querySelector(".col-route"), words(one.endpoint).replace("/v2/models/{model}", "/v2/…"));
    setStatus(row.querySelector(".mark"), !failed(one) ? "ok" : one.status >= 500 ? "critical" : "warning");
    setText(row.querySelector(".state-word"), one.status || "–");
    row.querySelector(".col-status").title = words(one.error);
    const duration = row.querySelector(".col-duration");
    setText(duration, number(one.duration_ms));
    duration.classList.add("num");
    setText(row.querySelector(".col-why"), one.why);
    setText(row.querySelector(".col-cache"), words(one.cache) || "–");
    titled(row.querySelector(".col-form"), words(one.backend) || "–");
  }

  function markChosen(params) {
    for (const row of byId("requests-body").children) {
      const on = row.dataset.key.split("\n")[0] === params.request;
      if (on) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  function headings(sort) {
    for (const heading of document.querySelectorAll("#requests-table th")) {
      const key = heading.querySelector("button").dataset.sort;
      const rising = TEXT_COLUMNS.has(key) !== sort.startsWith("-");
      heading.setAttribute("aria-sort", sort.replace("-", "") === key ? (rising ? "ascending" : "descending") : "none");
    }
  }

  function options(id, values, value) {
    const select = byId(id);
    const list = [...new Set([...values.map(words).filter(Boolean), ...(value ? [value] : [])])].sort();
    const key = JSON.stringify(list);
    if (select.dataset.options !== key) {
      select.dataset.options = key;
      select.replaceChildren(...["", ...list].map((one) => {
        const node = element("option", "", one ? (one.length > 60 ? `${one.slice(0, 59)}…` : one) : "all");
        node.value = one;
        return node;
      }));
    }
    if (select.value !== (value || "")) select.value = value || "";
  }

  function draw() {
    const params = pyrometer.url.all();
    options("requests-model", (all || []).map((one) => one.model), params.model);
    options("requests-route", (all || []).map((one) => one.endpoint), params.route);
    byId("requests-outcome").value = params.outcome || "";
    const least = byId("requests-least");
    if (document.activeElement !== least) least.value = params.least || "";
    headings(params.sort || "time");
    byId("requests-page").dataset.state = problem ? (all ? "stale" : "error") : "shown";
    const rows = all ? sorted(chosen(params), params.sort || "time") : [];
    pyrometer.tables.rows(byId("requests-body"), rows.slice(0, MOST), keyOf, makeRow, fillRow);
    markChosen(params);
    tell(rows, params);
    flame.request.show(params.request || "", all);
  }

  function tell(rows, params) {
    const total = all ? all.length : 0;
    const stale = problem ? `not refreshed: ${problem}; ` : "";
    setText(byId("readout-requests"), all ? `${stale}${count(Math.min(MOST, rows.length))} of ${count(total)} kept of the last hour` : "");
    const note = byId("empty-requests");
    note.hidden = rows.length > 0;
    if (rows.length) return;
    note.dataset.why = !all ? (problem ? "error" : "loading") : total ? "filtered" : "none";
    if (!all) return problem ? retry(note) : setText(note, "Asking for the requests");
    if (!total) return first(note);
    const narrowed = FILTERS.some((key) => params[key]);
    const line = narrowed ? "No request with these filters in the time range" : `No request in the time range; ${count(total)} were kept in the last hour`;
    const clear = element("button", "chip", narrowed ? "Clear the filters" : "Show the last hour");
    clear.type = "button";
    clear.addEventListener("click", () => (narrowed
      ? pyrometer.url.set(Object.fromEntries(FILTERS.map((key) => [key, null])), { push: true })
      : pyrometer.time.set("1h")));
    return note.replaceChildren(element("div", "", line), clear);
  }

  function retry(note) {
    const again = element("button", "chip", "Try again");
    again.type = "button";
    again.addEventListener("click", load);
    note.replaceChildren(element("div", "", `The requests could not be read: ${problem}. The other pages go on.`), again);
  }

  function first(note) {
    const { state } = pyrometer;
    if (!state.answer) return setText(note, "No requests yet");
    pyrometer.showFirstRequest(note, true, state);
    const code = note.querySelector("code");
    if (!code) return undefined;
    code.id = "requests-first";
    return setText(note.firstChild, "No requests yet. The slowest of each minute will appear here; this sends one:");
  }

  function select(one) {
    const same = pyrometer.url.get("request") === one.request_id;
    pyrometer.url.set({ request: same ? null : one.request_id }, { push: true });
    if (!same && matchMedia("(max-width: 1199px)").matches) byId("panel-request").scrollIntoView({ block: "start" });
  }

  function wire() {
    const { set } = pyrometer.url;
    for (const key of ["model", "route", "outcome"]) {
      byId(`requests-${key}`).addEventListener("change", (event) => set({ [key]: event.target.value }, { push: true }));
    }
    const least = element("input", "flame-select num");
    Object.assign(least, { id: "requests-least", type: "number", min: "0", step: "any", placeholder: "any" });
    least.addEventListener("change", () => set({ least: least.value }, { push: true }));
    byId("requests-least-field").append(least);
    for (const button of document.querySelectorAll("#requests-table .flame-sort")) {
      button.addEventListener("click", () => {
        const { sort } = button.dataset;
        const next = (pyrometer.url.get("sort") || "time") === sort ? `-${sort}` : sort;
        set({ sort: next === "time" ? null : next });
      });
    }
    byId("requests-close").addEventListener("click", () => set({ request: null }, { push: true }));
    byId("panel-request").addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) set({ request: null }, { push: true });
    });
  }

  function refresh(state) {
    if (state.phase !== "paused" && performance.now() - finishedAt >= REFRESH_MS && !document.hidden) load();
  }

  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.pages.add("requests", {
    enter: () => {
      draw();
      load();
    },
    change: draw,
    draw: refresh,
    leave: () => under && under.abort(),
  });
})();
