/* What leaves this process: the shared tier's state, and every kind of outgoing connection with its bound. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, percent, clock, known } = pyrometer.format;
  const KINDS = { peers: "Peers", webhook: "Webhook", apprise: "Apprise", otlp: "OpenTelemetry", redis: "Redis" };
  const CIRCUIT = { closed: ["ok", "in use"], open: ["critical", "away, left out"], "half-open": ["warning", "being tried"] };

  function make() {
    const { cell, twoLines } = pyrometer.tables;
    const row = element("tr");
    row.append(
      cell("to", twoLines()),
      cell("used", [element("div", "bytes-words"), element("div", "meter", element("div", "meter-fill"))]),
      cell("waits", "", "had to wait", true), cell("waiting", "", "queued", true),
      cell("asked", "", "asked", true), cell("failed", "", "failed", true), cell("note"),
    );
    return row;
  }

  const bounded = (value, limit) => (known(value) ? (known(limit) ? `${count(value)} of ${count(limit)}` : count(value)) : "–");

  function fill(row, one) {
    const { titled } = pyrometer.tables;
    row.dataset.kind = one.kind;
    const [kind, to] = row.querySelectorAll(".col-to > div");
    setText(kind, KINDS[one.kind] || one.kind);
    titled(to, one.to);
    const open = known(one.open) ? `, ${count(one.open)} kept open` : "";
    setText(row.querySelector(".bytes-words"), `${bounded(one.used, one.limit)}${open}`);
    row.querySelector(".meter-fill").style.width = `${one.limit > 0 ? Math.min(100, (100 * one.used) / one.limit).toFixed(1) : 0}%`;
    setText(row.querySelector(".col-waits"), count(one.waits));
    setText(row.querySelector(".col-waiting"), bounded(one.waiting, one.waiting_limit));
    setText(row.querySelector(".col-asked"), count(one.asked));
    setText(row.querySelector(".col-failed"), count(one.failed));
    titled(row.querySelector(".col-note"), [one.problem, one.text].filter(Boolean).join("; ") || "none");
  }

  fleet.drawOutgoing = (outgoing) => {
    pyrometer.tables.rows(byId("fleet-outgoing-body"), outgoing, (one) => `${one.kind} ${one.to}`, make, fill);
    const note = byId("empty-fleet-outgoing");
    setText(note, "This process asks nobody: no peers, no webhook, no collector of traces and no shared tier is configured.");
    note.hidden = outgoing.length > 0;
    setText(byId("readout-fleet-outgoing"), outgoing.length ? "each is bounded; more wait or are counted as failed" : "");
  };

  const FACTS = [
    ["Connections", (tier) => bounded(tier.connections, tier.connections_limit)], ["Hits", (tier) => count(tier.hits)], ["Misses", (tier) => count(tier.misses)],
    ["Hits, %", (tier) => percent(tier.hits + tier.misses ? (100 * tier.hits) / (tier.hits + tier.misses) : null)], ["Written", (tier) => count(tier.written)],
    ["Dropped", (tier) => count(tier.dropped)], ["Out of time", (tier) => count(tier.timeouts)], ["p50, ms", (tier) => number(tier.p50_ms)], ["p99, ms", (tier) => number(tier.p99_ms)],
    ["Budget, ms", (tier) => number(tier.budget_ms)], ["Queue", (tier) => bounded(tier.queued, tier.queue_limit)], ["Epoch", (tier) => count(tier.epoch)],
  ];

  fleet.drawShared = (tier) => {
    const words = byId("fleet-shared-words");
    const facts = byId("fleet-shared-facts");
    facts.hidden = !tier;
    if (!tier) {
      if (words.dataset.shown === "none") return;
      words.dataset.shown = "none";
      words.replaceChildren(
        element("p", "", "No shared tier: each process keeps its own results. With Redis or Valkey, what one process computed is a hit on the others."),
        element("p", "", element("a", "fleet-link", "Settings of the shared tier")),
      );
      words.querySelector("a").href = "/settings?q=redis";
      return;
    }
    words.dataset.shown = "tier";
    const [status, word] = CIRCUIT[tier.state] || ["unknown", String(tier.state)];
    const line = element("span", "state", [element("span", "mark"), element("span", "state-word", word)]);
    setStatus(line.firstChild, status);
    const parts = [known(tier.since) ? `since ${clock(tier.since)}` : "", tier.url, tier.problem].filter(Boolean);
    words.replaceChildren(element("p", "fleet-line", [line, ...parts.map((text) => element("span", "", String(text).slice(0, 200)))]));
    facts.replaceChildren(...FACTS.map(([name, of]) => element("div", "fleet-fact", [element("dt", "", name), element("dd", "num", of(tier))])));
  };
})();
