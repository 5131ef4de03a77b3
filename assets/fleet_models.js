/* Models across the fleet: who serves which version by which form, and where that is not the same. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, percent, count, plural } = pyrometer.format;

  function make() {
    const { cell, twoLines } = pyrometer.tables;
    const row = element("tr");
    const name = element("div", "cell-1", element("a", "fleet-link"));
    row.append(
      cell("model", [name, element("div", "cell-2")]),
      cell("rate", "", "req/s", true), cell("p50", "", "p50 ms", true), cell("p99", "", "p99 ms", true), cell("errors", "", "errors %", true),
      cell("same", element("span", "state", [element("span", "mark"), element("span", "state-word")])),
      cell("on", twoLines()),
    );
    return row;
  }

  const words = (place) => [`version ${place.version}`, place.form || place.state, place.digest ? place.digest.slice(0, 8) : ""].filter(Boolean).join(", ");

  /* Serving versions grouped by what they are, the most common first. */
  function groups(model) {
    const found = new Map();
    for (const place of model.on.filter((one) => one.serving)) {
      const key = words(place);
      found.set(key, [...(found.get(key) || []), fleet.short(place.peer)]);
    }
    return [...found].sort((one, other) => other[1].length - one[1].length);
  }

  function fill(row, model) {
    const { titled } = pyrometer.tables;
    row.dataset.model = model.name;
    row.dataset.differs = String(model.differs.length > 0);
    const link = row.querySelector(".fleet-link");
    setText(link, model.name);
    link.title = model.name;
    link.href = `/models?model=${encodeURIComponent(model.name)}`;
    const serving = model.on.filter((one) => one.serving);
    const warm = serving.filter((one) => one.state === "warm").length;
    setText(row.querySelector(".col-model .cell-2"), `warm on ${count(warm)} of ${plural(serving.length, "process").replace("processs", "processes")}`);
    const write = (name, text) => setText(row.querySelector(`.col-${name}`), text);
    write("rate", number(model.requests_per_s));
    write("p50", number(model.p50_ms));
    write("p99", number(model.p99_ms));
    write("errors", percent(model.error_percent));
    fillSame(row, model);
    const [first, ...others] = groups(model);
    const [line, second] = row.querySelectorAll(".col-on > div");
    titled(line, first ? (others.length ? `${first[0]}: ${first[1].join(", ")}` : first[0]) : "no version serves");
    titled(second, others.map(([kind, peers]) => `${kind}: ${peers.join(", ")}`).join("; "));
    second.classList.toggle("fleet-differs", model.differs.length > 0);
  }

  function fillSame(row, model) {
    const missing = model.missing.map(fleet.short);
    const parts = [];
    if (model.differs.length) parts.push(`no: ${model.differs.join(", ")}`);
    if (missing.length) parts.push(`missing on ${missing.length === 1 ? missing[0] : count(missing.length)}`);
    setStatus(row.querySelector(".mark"), parts.length ? "warning" : "ok");
    setText(row.querySelector(".state-word"), parts.join("; ") || "yes");
    row.querySelector(".col-same").title = missing.length ? `Missing on ${missing.join(", ")}` : "";
  }

  fleet.drawModels = (told) => {
    const sorted = [...told.models].sort((one, other) => other.differs.length - one.differs.length || one.name.localeCompare(other.name));
    pyrometer.tables.rows(byId("fleet-versions-body"), sorted, (model) => model.name, make, fill);
    const note = byId("empty-fleet-versions");
    setText(note, "Models of the processes that answer will appear here.");
    note.hidden = told.models.length > 0;
    const differing = told.models.filter((model) => model.differs.length).length;
    setText(byId("readout-fleet-versions"), told.models.length ? `${plural(told.models.length, "model")}${differing ? `, ${count(differing)} not the same everywhere` : ""}${told.models_left_out ? `, ${count(told.models_left_out)} more left out` : ""}` : "");
  };
})();
