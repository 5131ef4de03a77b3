/* Ray: nodes, where each model runs and why, its replicas; drain and restart, asked in place. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, bytes, duration, clock, plural, known } = pyrometer.format;
  const PATH = "/performance/fleet";
  const LIMIT_MS = 30000;
  const STATUS = { up: "ok", running: "ok", healthy: "ok", starting: "warning", draining: "warning", updating: "warning", away: "critical", dead: "critical", unhealthy: "critical" };

  async function act(row, { path, body, text, verb, done }) {
    if (row.classList.contains("confirming")) return;
    if (!(await pyrometer.actions.confirmInPlace(row, "td", text, verb))) return;
    try {
      const answer = await pyrometer.post(`${PATH}/${path}`, body, LIMIT_MS);
      pyrometer.toast("ok", done, answer.text || "Done");
    } catch (failure) {
      pyrometer.toast("critical", `${verb} failed`, failure.message);
    }
    fleet.load();
  }

  const drain = (row, id, what, rest) => act(row, {
    path: "drain", body: { id }, verb: `Drain ${what}`, done: `Draining ${what}`,
    text: `Drain ${what} ${String(id).slice(0, 40)}? It takes no new work and ends when its own is done. ${rest}`,
  });
  const restart = (row, model) => act(row, {
    path: "restart", body: { model }, verb: "Restart replicas", done: `Restarting ${String(model).slice(0, 40)}`,
    text: `Begin the replicas of ${String(model).slice(0, 40)} anew? Meanwhile its requests run on those that are up, or in this process.`,
  });

  const stateCell = () => element("span", "state", [element("span", "mark"), element("span", "state-word")]);

  function fillState(row, state) {
    setStatus(row.querySelector(".mark"), STATUS[String(state).toLowerCase()]);
    setText(row.querySelector(".state-word"), String(state).toLowerCase());
  }

  // Nodes

  function makeNode() {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = element("tr");
    row.append(
      cell("node", twoLines()), cell("state", stateCell()), cell("cpus", "", "CPUs", true), cell("cpu", "", "CPU %", true),
      cell("memory", [element("div", "bytes-words"), element("div", "meter", element("div", "meter-fill"))]),
      cell("replicas", "", "replicas", true),
      cell("action", button("Drain", "Drain this node", () => drain(row, row.dataset.node, "node", "Its replicas are begun on others.")), "", true),
    );
    return row;
  }

  function fillNode(row, node) {
    const { titled } = pyrometer.tables;
    row.dataset.node = node.id;
    const [address, id] = row.querySelectorAll(".col-node > div");
    titled(address, node.address);
    titled(id, node.id);
    fillState(row, node.alive ? "up" : "away");
    setText(row.querySelector(".col-cpus"), count(node.cpus));
    setText(row.querySelector(".col-cpu"), percent(node.cpu_percent));
    const used = known(node.resident_bytes);
    setText(row.querySelector(".bytes-words"), used ? `${bytes(node.resident_bytes)} of ${bytes(node.memory_bytes)}` : bytes(node.memory_bytes));
    row.querySelector(".meter").hidden = !used;
    row.querySelector(".meter-fill").style.width = `${used && node.memory_bytes ? Math.min(100, (100 * node.resident_bytes) / node.memory_bytes).toFixed(1) : 0}%`;
    setText(row.querySelector(".col-replicas"), count(node.replicas));
    row.querySelector("button").setAttribute("aria-label", `Drain node ${node.address}`);
    row.querySelector("button").disabled = !node.alive;
  }

  // Placement

  function makeReplica(item) {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = element("tr");
    row.append(
      cell("replica", twoLines()), cell("where", twoLines()), cell("state", stateCell()),
      cell("p50", "", "p50 ms", true), cell("p99", "", "p99 ms", true), cell("requests", "", "requests", true),
      cell("queued", "", "queued", true), cell("cpu", "", "CPU %", true), cell("memory", "", "memory", true), cell("action", "", "", true),
    );
    const action = row.querySelector(".col-action");
    if (item.part === "replica") action.append(button("Drain", "Drain this replica", () => drain(row, row.dataset.replica, "replica", "Another is begun where the model needs one.")));
    else if (item.placement === "ray") action.append(button("Restart", `Restart the replicas of ${item.model}`, () => restart(row, row.dataset.model)));
    return row;
  }

  function fillReplica(row, item) {
    const { titled } = pyrometer.tables;
    row.dataset.part = item.part;
    row.dataset.model = item.model;
    const [name, second] = row.querySelectorAll(".col-replica > div");
    const [where, why] = row.querySelectorAll(".col-where > div");
    const write = (column, text) => setText(row.querySelector(`.col-${column}`), text);
    if (item.part === "deployment") {
      titled(name, item.model);
      titled(second, `version ${item.version}`);
      titled(where, item.placement === "ray" ? `Ray, ${plural((item.replicas || []).length, "replica")}` : "this process");
      titled(why, item.reason);
      fillState(row, item.state || (item.placement === "ray" ? "unknown" : "local"));
      return;
    }
    row.dataset.replica = item.id;
    titled(name, item.id);
    titled(second, known(item.uptime_s) ? `up ${duration(item.uptime_s)}` : "");
    titled(where, item.node);
    fillState(row, item.state);
    write("p50", number(item.p50_ms));
    write("p99", number(item.p99_ms));
    write("requests", count(item.requests));
    write("queued", count(item.queued));
    write("cpu", percent(item.cpu_percent));
    write("memory", bytes(item.resident_bytes));
    row.querySelector("button").setAttribute("aria-label", `Drain replica ${item.id}`);
  }

  function rowsOf(remote) {
    return (remote.deployments || []).flatMap((deployment) => [
      { ...deployment, part: "deployment", key: `${deployment.model} ${deployment.version} ${deployment.placement}` },
      ...(deployment.replicas || []).map((replica) => ({ ...replica, part: "replica", model: deployment.model, key: `${deployment.model} ${replica.id}` })),
    ]);
  }

  function drawWords(remote) {
    const words = byId("fleet-remote-words");
    if (!remote) {
      if (words.dataset.shown === "none") return;
      words.dataset.shown = "none";
      words.replaceChildren(
        element("p", "", "No executor but this process: every model runs here. With Ray, models whose runs outweigh the trip are placed on its nodes, and this page shows nodes, replicas and why each is where it is."),
        pyrometer.command.line("pip install 'pyrometer[ray]' && pyrometer serve --executor ray").node,
      );
      return;
    }
    words.dataset.shown = "ray";
    const line = element("span", "state", [element("span", "mark"), element("span", "state-word", remote.state)]);
    setStatus(line.firstChild, STATUS[remote.state]);
    const parts = [`since ${clock(remote.since)}`, remote.address, `${count(remote.in_flight)} of ${count(remote.in_flight_limit)} under way`, `${plural(remote.retries, "retry").replace("retrys", "retries")}`, `${count(remote.fallbacks)} answered by this process instead`];
    if (remote.problem) parts.unshift(remote.problem);
    words.replaceChildren(element("p", "fleet-line", [line, ...parts.filter(Boolean).map((text) => element("span", "", String(text).slice(0, 200)))]));
  }

  fleet.drawRemote = (remote) => {
    drawWords(remote);
    if (!remote) return;
    const { rows } = pyrometer.tables;
    rows(byId("fleet-nodes-body"), remote.nodes || [], (node) => node.id, makeNode, fillNode);
    rows(byId("fleet-replicas-body"), rowsOf(remote), (item) => item.key, makeReplica, fillReplica);
    const empty = { nodes: "Nodes of the cluster will appear here.", replicas: "Where each model runs will appear here with its first load." };
    for (const [name, text] of Object.entries(empty)) {
      setText(byId(`empty-fleet-${name}`), text);
      byId(`empty-fleet-${name}`).hidden = byId(`fleet-${name}-body`).children.length > 0;
    }
  };
})();
