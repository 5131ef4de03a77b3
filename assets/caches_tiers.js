/* Rows of the Caches page: every tier, its part on disk below it, tiers that are turned off. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { count, percent, bytes, clock, day, duration, plural, known } = pyrometer.format;
  const LABELS = { results: "Results", embeddings: "Embeddings", responses: "Responses", disk: "On disk" };

  const holds = (tier) => tier.items > 0 || Boolean(tier.disk && tier.disk.items > 0) || Boolean(caches.shares && tier.tier === "results");

  function rowsOf(answer) {
    const rows = [];
    for (const tier of answer.tiers) {
      rows.push({ ...tier, key: tier.tier, part: "memory" });
      if (tier.disk) rows.push({ ...tier.disk, key: `${tier.tier} disk`, part: "disk", tier: tier.tier, label: "On disk" });
      if (tier.tier === "results" && answer.shared) rows.push({ ...answer.shared, key: "results shared", part: "shared", tier: "results", label: "In Redis" });
    }
    for (const off of answer.off) {
      rows.push({ key: `${off.tier} off`, part: "off", tier: off.tier, label: LABELS[off.tier], setting: off.setting });
    }
    return rows;
  }

  const meter = () => [
    element("div", "bytes-words"),
    element("div", "meter", [element("div", "meter-fill"), element("div", "meter-limit")]),
  ];

  function make(tier) {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = element("tr");
    row.dataset.tier = tier.tier;
    row.dataset.part = tier.part;
    const state = element("div", "state", [element("span", "mark"), element("span", "state-word")]);
    row.append(
      cell("tier", twoLines()),
      cell("state", [state, element("div", "cell-2")]),
      cell("bytes", meter()),
      cell("hits", "", "hits", true),
      cell("misses", "", "misses", true),
      cell("rate", "", "hits %", true),
      cell("evictions", "", "evicted", true),
      cell("rejected", "", "rejected", true),
      cell("expired", "", "expired", true),
      cell("age", twoLines(), "oldest", true),
      cell("saved", "", "saved about", true),
      cell("action", "", "", true),
    );
    if (tier.part !== "memory") return row;
    const flush = button("Flush", `Flush ${tier.label.toLowerCase()}`, (node) => caches.flushTier(row, row.tier, node));
    flush.dataset.action = "flush";
    row.lastChild.append(flush);
    return row;
  }

  function fill(row, tier) {
    const { titled } = pyrometer.tables;
    row.tier = tier;
    const [label, items] = row.querySelectorAll(".col-tier > div");
    titled(label, tier.label);
    setText(items, tier.part === "shared" ? `epoch ${count(tier.epoch)}` : tier.part === "off" ? "" : plural(tier.items, tier.tier === "models" ? "model" : "item"));
    fillState(row, tier);
    fillMeter(row, tier);
    const figures = tier.part === "disk" ? { ...tier, rejected: tier.dropped + tier.refused }
      : tier.part === "shared" ? { ...tier, rejected: tier.dropped + tier.refused + tier.rejected } : tier;
    for (const name of ["hits", "misses", "evictions", "rejected", "expired"]) caches.fillCount(row.querySelector(`.col-${name}`), figures[name]);
    setText(row.querySelector(".col-rate"), percent(tier.hit_percent));
    fillAge(row.querySelector(".col-age"), tier);
    const saved = row.querySelector(".col-saved");
    setText(saved, caches.took(tier.saved_ms));
    saved.title = known(tier.saved_ms) ? `About: ${caches.HEADINGS.saved}` : unsaved(tier);
    const flush = row.querySelector("[data-action=flush]");
    if (flush) flush.setAttribute("aria-disabled", String(!holds(tier)));
  }

  function unsaved(tier) {
    if (tier.part === "off") return "";
    if (tier.tier === "models") return "A request needs its model in memory: there is nothing to compare with";
    return tier.hits ? "No run was measured yet" : "Nothing hit yet";
  }

  function fillState(row, tier) {
    const word = row.querySelector(".state-word");
    const second = row.querySelector(".col-state > .cell-2");
    if (tier.part === "shared") {
      caches.fillSharedState(row, tier, word, second);
      return;
    }
    const idle = tier.part === "off" || tier.awake === false;
    setStatus(row.querySelector(".mark"), idle ? "unknown" : "ok");
    if (tier.part !== "off") {
      setText(word, tier.awake === undefined ? "on" : tier.awake ? "awake" : "asleep");
      setText(second, tier.why ? `${count(tier.judged[0])} of ${count(tier.judged[1])} hit` : "");
      row.querySelector(".col-state").title = tier.why || "";
      return;
    }
    setText(word, "off");
    if (second.firstChild) return;
    const link = element("a", "caches-link", `${tier.setting} is off`);
    link.href = `/settings?q=${encodeURIComponent(tier.setting)}`;
    second.append(link);
  }

  function fillMeter(row, tier) {
    if (tier.part === "shared") {
      setText(row.querySelector(".bytes-words"), `${count(tier.connections)} of ${count(tier.connections_limit)} connections`);
      row.querySelector(".meter-fill").style.width = `${(100 * tier.connections / tier.connections_limit).toFixed(1)}%`;
      row.querySelector(".meter-limit").hidden = true;
      return;
    }
    const bounded = tier.budget_bytes > 0;
    const limited = bounded && known(tier.limit_bytes) && tier.limit_bytes < tier.budget_bytes;
    const share = (value) => `${Math.min(100, bounded && known(value) ? (100 * value) / tier.budget_bytes : 0).toFixed(1)}%`;
    const most = limited ? `${bytes(tier.limit_bytes)} now` : bytes(tier.budget_bytes);
    setText(row.querySelector(".bytes-words"), bounded ? `${bytes(tier.bytes)} of ${most}` : "–");
    row.querySelector(".col-bytes").title = limited ? `Its budget is ${bytes(tier.budget_bytes)}. ${caches.HEADINGS.bytes}` : "";
    row.querySelector(".meter").hidden = !bounded;
    row.querySelector(".meter-fill").style.width = share(tier.bytes);
    const limit = row.querySelector(".meter-limit");
    limit.hidden = !limited;
    limit.style.left = share(tier.limit_bytes);
  }

  function fillAge(node, tier) {
    if (tier.part === "shared") return;
    const [oldest, median] = node.querySelectorAll("div");
    const measured = known(tier.oldest_s);
    setText(oldest, measured ? duration(tier.oldest_s) : tier.aged === false ? "not measured" : "–");
    setText(median, measured ? `median ${duration(tier.median_s)}` : "");
    node.title = tier.measuredAt ? `Measured ${day(tier.measuredAt)} ${clock(tier.measuredAt)}` : "";
  }

  function drawTiers(answer) {
    pyrometer.tables.rows(byId("caches-tiers-body"), rowsOf(answer), (tier) => tier.key, make, fill);
  }

  Object.assign(caches, { drawTiers, holds, meter });
})();
