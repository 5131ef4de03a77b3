/* The Settings page's panel on access: who one is here, log out, and the newest actions. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, day } = pyrometer.format;
  const PATH = "/performance/audit?limit=50";
  const LIMIT_MS = 10000;
  const EVERY_MS = 5000;
  let under = null;
  let askedAt = -Infinity;

  function sentence(told) {
    if (!told) return "Asking who is logged in";
    if (!told.required) return "No key is asked for: only this machine reaches the server, and there are no API keys";
    const until = told.until ? `, until ${day(told.until)} ${clock(told.until)}` : "";
    return `${told.by === "session" ? "Logged in" : "Let in"} as ${told.who}: ${told.scopes.join(", ")}${until}`;
  }

  function who() {
    const told = pyrometer.session.told();
    setText(byId("settings-who"), sentence(told));
    byId("settings-log-out").hidden = !told || told.by !== "session";
  }

  const result = (status) => (status < 400 ? "done" : status === 403 ? "refused" : status === 429 ? "too many" : "failed");
  const about = (target) => Object.entries(target).map(([name, value]) => `${name} ${value}`).join(", ").slice(0, 300);

  function cells(entry) {
    const { cell } = pyrometer.tables;
    const ended = cell("result", `${result(entry.status)}, ${entry.status}`);
    ended.dataset.result = entry.status < 400 ? "done" : "not";
    const made = [
      cell("time", element("span", "num", `${day(entry.time)} ${clock(entry.time)}`)),
      cell("who", [element("div", "cell-1", entry.who), element("div", "cell-2 num", entry.address)]),
      cell("what", [element("div", "cell-1", entry.what), element("div", "cell-2", about(entry.target))]),
      ended,
    ];
    made[2].title = entry.request ? `Request ${entry.request}` : "";
    return made;
  }

  function draw(answer) {
    const key = (entry) => `${entry.time} ${entry.request} ${entry.what}`;
    const make = (entry) => element("tr", "", cells(entry));
    const lost = answer.unwritten ? `; ${answer.unwritten} could not be written to disk` : "";
    const blank = "No action yet: loads, flushes, captures and the like appear here";
    pyrometer.tables.fillTables("audit", answer.entries, key, make, () => {}, blank);
    setText(byId("readout-audit"), answer.entries.length ? `newest ${answer.entries.length}${lost}` : "");
  }

  async function load() {
    if (under) return;
    under = new AbortController();
    askedAt = performance.now();
    try {
      const limit = AbortSignal.any([under.signal, AbortSignal.timeout(LIMIT_MS)]);
      const response = await fetch(PATH, { signal: limit, cache: "no-store" });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      draw(await response.json());
    } catch (failure) {
      if (!under.signal.aborted) setText(byId("readout-audit"), `not refreshed: ${failure.message}`);
    } finally {
      under = null;
    }
  }

  async function logOut() {
    try {
      await pyrometer.session.logOut();
    } catch (failure) {
      pyrometer.toast("critical", "Log out failed", failure.message);
    }
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => byId("settings-log-out").addEventListener("click", logOut));
  pyrometer.pages.add("settings", {
    enter: () => {
      who();
      pyrometer.session.ready.then(who);
      load();
    },
    draw: () => !document.hidden && performance.now() - askedAt > EVERY_MS && load(),
    leave: () => under && under.abort(),
  });
})();
