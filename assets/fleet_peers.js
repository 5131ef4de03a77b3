/* Rows of processes: what each served in the last minute, and how it is. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, clock, day, duration, known } = pyrometer.format;
  const STATES = {
    up: ["ok", "up"], self: ["ok", "this one"], lost: ["critical", "lost"], asking: ["unknown", "asking"],
    incompatible: ["warning", "incompatible"], refused: ["warning", "refused"], duplicate: ["unknown", "named twice"],
  };
  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT] = [104, 26];
  const NEAR_MS = 100; // a clock within so much is told as the same

  function make() {
    const { cell, twoLines } = pyrometer.tables;
    const row = element("tr");
    const link = element("a", "fleet-link");
    link.target = "_blank";
    link.rel = "noopener";
    const state = element("span", "state", [element("span", "mark"), element("span", "state-word")]);
    const spark = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ class: "fleet-spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" })) spark.setAttribute(name, value);
    spark.append(document.createElementNS(SVG, "path"));
    row.append(
      cell("peer", twoLines()), cell("state", state), cell("spark", spark),
      cell("rate", "", "req/s", true), cell("p50", "", "p50 ms", true), cell("p99", "", "p99 ms", true),
      cell("errors", "", "errors %", true), cell("hits", "", "hits %", true), cell("cpu", "", "CPU %", true),
      cell("memory", "", "memory", true), cell("queue", "", "queue %", true), cell("alerts", "", "alerts", true),
      cell("models", "", "warm", true), cell("clock", "", "clock", true),
    );
    row.querySelector(".col-peer .cell-1").append(link);
    return row;
  }

  /* When a state began, with the day where it was another. */
  const moment = (seconds) => (day(seconds) === day(Date.now() / 1000) ? clock(seconds) : `${day(seconds)} ${clock(seconds)}`);

  function remark(peer) {
    if (peer.state === "lost") return peer.heard ? `lost since ${moment(peer.heard)}` : `never answered, asked since ${moment(peer.since)}`;
    if (peer.state === "duplicate") return `the same process as ${fleet.short(peer.same_as)}`;
    if (peer.state === "incompatible" || peer.state === "refused") return peer.problem || "";
    if (!peer.version) return peer.problem || "not heard of yet";
    const words = [`version ${peer.version}`, `up ${duration(peer.uptime_s)}`];
    if (peer.draining) words.push("draining");
    else if (!peer.ready) words.push("not ready");
    if (peer.executor) words.push(`on ${peer.executor}`);
    return words.join(", ");
  }

  function drawSpark(node, values, most) {
    const step = WIDTH / Math.max(1, values.length - 1);
    let path = "";
    let open = false;
    values.forEach((value, at) => {
      if (known(value)) path += `${open ? "L" : "M"}${(at * step).toFixed(1)} ${(HEIGHT - 2 - ((HEIGHT - 4) * value) / (most || 1)).toFixed(1)}`;
      open = known(value);
    });
    const line = node.firstChild;
    if (line.getAttribute("d") !== path) line.setAttribute("d", path);
  }

  /* "same", "+1.2 s": how far a peer's clock is ahead. */
  function skew(peer) {
    if (!known(peer.skew_ms)) return "–";
    if (Math.abs(peer.skew_ms) <= Math.max(NEAR_MS, peer.trip_ms / 2)) return "same";
    const sign = peer.skew_ms > 0 ? "+" : "−";
    const size = Math.abs(peer.skew_ms);
    return size < 1000 ? `${sign}${Math.round(size)} ms` : `${sign}${number(size / 1000)} s`;
  }

  function fillName(row, peer) {
    const { titled } = pyrometer.tables;
    const link = row.querySelector(".fleet-link");
    const name = fleet.short(peer.id);
    setText(link, name);
    if (peer.url && /^https?:\/\//.test(peer.url)) link.href = `${peer.url}/`;
    else link.removeAttribute("href");
    link.title = peer.url ? `Open the console of ${name}` : "This process; it is not among its own peers";
    const second = row.querySelector(".col-peer .cell-2");
    titled(second, remark(peer));
    second.classList.toggle("problem", ["lost", "refused", "incompatible"].includes(peer.state));
    row.querySelector(".col-state").title = peer.problem || "";
  }

  function fill(row, peer, most) {
    row.dataset.peer = peer.id;
    row.dataset.state = peer.state;
    fillName(row, peer);
    const [status, word] = STATES[peer.state] || ["unknown", peer.state];
    setStatus(row.querySelector(".mark"), peer.draining || (peer.version && !peer.ready && peer.live) ? "warning" : status);
    setText(row.querySelector(".state-word"), word);
    drawSpark(row.querySelector(".fleet-spark"), peer.spark || [], most);
    const write = (name, text) => setText(row.querySelector(`.col-${name}`), text);
    write("rate", number(peer.requests_per_s));
    write("p50", number(peer.p50_ms));
    write("p99", number(peer.p99_ms));
    write("errors", percent(peer.error_percent));
    write("hits", percent(peer.hit_percent));
    write("cpu", percent(peer.cpu_percent));
    write("memory", known(peer.memory_mb) ? `${Math.round(peer.memory_mb)} MB` : "–");
    write("queue", percent(peer.queue_used_percent));
    write("models", known(peer.models) ? `${count(peer.models_warm)} of ${count(peer.models)}` : "–");
    fillAlerts(row.querySelector(".col-alerts"), peer.alerts);
    const offset = row.querySelector(".col-clock");
    setText(offset, skew(peer));
    offset.classList.toggle("fleet-differs", Boolean(peer.clock_differs));
    offset.title = known(peer.trip_ms) ? `Ahead of this process' clock; the question took ${number(peer.trip_ms)} ms` : "";
  }

  function fillAlerts(node, alerts) {
    setText(node, alerts ? count(alerts.length) : "–");
    node.classList.toggle("fleet-differs", Boolean(alerts && alerts.length));
    const words = (alerts || []).map((alert) => `${alert.name}, ${alert.severity}`).join("\n");
    if (node.title !== words) node.title = words;
  }

  fleet.drawPeers = (told) => {
    const most = Math.max(1e-9, ...told.peers.flatMap((peer) => peer.spark || []).filter(known));
    pyrometer.tables.rows(byId("fleet-peers-body"), told.peers, (peer) => `${peer.url || "this process"}`, make, (row, peer) => fill(row, peer, most));
    byId("empty-fleet-peers").hidden = told.peers.length > 0;
    setText(byId("readout-fleet-peers"), `${count(told.peers.length)} of at most ${told.limit}`);
  };
})();
