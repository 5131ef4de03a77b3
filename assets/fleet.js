/* The Fleet page: GET /performance/fleet every REFRESH_MS while it is shown and the figures are
   live. fleet_peers.js, fleet_models.js, fleet_remote.js and fleet_outgoing.js fill the tables,
   fleet_chart.js draws. What is lost stays, grey, and counts for nothing. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { figure, count, plural, known } = pyrometer.format;
  const PATH = "/performance/fleet";
  const REFRESH_MS = 2000;
  const UNITS = { error_percent: "%", hit_percent: "%" };
  let answer = null;
  let under = null;
  let finishedAt = -Infinity;
  let problem = "";

  /* "http://10.0.0.2:8050" -> "10.0.0.2:8050". */
  fleet.short = (id) => String(id).replace(/^https?:\/\//, "");
  fleet.answer = () => answer;

  async function load() {
    if (under) return;
    under = new AbortController();
    try {
      answer = await pyrometer.flame.state.ask(PATH, under.signal);
      problem = "";
    } catch (failure) {
      if (!under.signal.aborted) problem = failure.message;
    } finally {
      under = null;
      finishedAt = performance.now();
    }
    if (pyrometer.router.current() === "fleet") draw();
  }

  const NAMES = { up: "answer", self: "answer", lost: "lost", asking: "not heard of yet", incompatible: "incompatible", refused: "refused us", duplicate: "named twice" };

  function sentence(told) {
    const { states } = told;
    const live = (states.up || 0) + (states.self || 0);
    const processes = Object.entries(states).filter(([state]) => state !== "duplicate").reduce((sum, [, many]) => sum + many, 0);
    const rest = ["lost", "incompatible", "refused", "asking"].filter((state) => states[state])
      .map((state) => `${count(states[state])} ${NAMES[state]}`);
    const status = states.lost || states.refused || states.incompatible ? "warning" : states.asking ? "unknown" : "ok";
    const skewed = told.models.filter((model) => model.differs.length).map((model) => model.name);
    const words = [`${count(live)} of ${plural(processes, "process").replace("processs", "processes")} answer${live === 1 ? "s" : ""}`, ...rest];
    if (skewed.length) words.push(`${skewed.slice(0, 2).map((name) => name.slice(0, 40)).join(", ")}${skewed.length > 2 ? " and more" : ""} not the same everywhere`);
    return { status: skewed.length && status === "ok" ? "warning" : status, text: words.join("; ") };
  }

  function drawNow(told) {
    const { status, text } = sentence(told);
    setStatus(byId("fleet-mark"), status);
    setText(byId("fleet-words"), text);
    for (const node of document.querySelectorAll("#panel-fleet-now [data-fleet]")) {
      const key = node.dataset.fleet;
      setText(node, key === "processes" ? count(told.merged[key]) : figure(told.merged[key], UNITS[key]));
    }
    const parts = [`asked every ${told.interval_s} s`];
    if (told.left_out) parts.unshift(`${count(told.left_out)} over the limit of ${told.limit} not asked`);
    parts.unshift(...told.problems.map((one) => one.slice(0, 120)));
    if (problem) parts.unshift(`not refreshed: ${problem}`);
    byId("readout-fleet-now").replaceChildren(...parts.map((words) => element("span", "", words)));
  }

  /* The fleet keeps ten minutes; what is older is not here. */
  function drawRange(told) {
    const { rolling, seconds } = pyrometer.time.range();
    const minutes = told ? told.ring_s / 60 : 10;
    const inside = rolling && seconds <= minutes * 60;
    const note = byId("fleet-range");
    note.hidden = inside || !told;
    setText(note, `Shown is the last minute, and in the chart the last ${minutes} minutes: so much is kept of the fleet. For ${rolling ? "the " : ""}${pyrometer.time.words()} look at a process' own console.`);
  }

  function draw() {
    const page = byId("fleet-page");
    page.dataset.state = problem ? (answer ? "stale" : "error") : answer ? "shown" : "loading";
    if (!answer) {
      setText(byId("fleet-words"), problem ? `The fleet could not be read: ${problem}. The other pages go on, and this one asks again.` : "Asking the peers");
      return;
    }
    page.dataset.configured = answer.configured ? "yes" : "no";
    page.dataset.remote = answer.remote ? "yes" : "no";
    drawRange(answer.fleet);
    if (answer.fleet) {
      drawNow(answer.fleet);
      pyrometer.guard("fleet chart", () => fleet.drawChart(answer.fleet));
      fleet.drawPeers(answer.fleet);
      fleet.drawModels(answer.fleet);
    }
    fleet.drawRemote(answer.remote);
    fleet.drawShared(answer.shared);
    fleet.drawOutgoing(answer.outgoing);
  }

  function wire() {
    for (const place of document.querySelectorAll("#panel-fleet-how [data-command]")) {
      place.replaceChildren(pyrometer.command.line(place.dataset.command).node);
    }
    document.querySelector("#panel-fleet-how a").href = "/settings?q=peers";
  }

  function refresh(state) {
    if (answer) drawRange(answer.fleet);
    const every = Math.max(REFRESH_MS, 1000 * pyrometer.time.live());
    if (state.phase !== "paused" && performance.now() - finishedAt >= every && !document.hidden) load();
  }

  Object.assign(fleet, { load, known });
  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.pages.add("fleet", {
    enter: () => {
      draw();
      load();
    },
    change: draw,
    draw: refresh,
    leave: () => under && under.abort(),
  });
})();
