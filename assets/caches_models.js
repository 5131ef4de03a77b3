/* Rows of the Caches page: what each model has in the caches, and what they bring it. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, setText } = pyrometer.dom;
  const { number, count, percent, bytes, plural, known } = pyrometer.format;
  const TIERS = ["results", "embeddings", "responses"];
  const DISKS = ["results_disk", "embeddings_disk"];
  const LABELS = { results: "results", embeddings: "embeddings", responses: "responses", disk: "on disk" };

  /* {items, bytes} of a model in these tiers together; null where none was read. */
  function heldIn(model, tiers) {
    const found = tiers.map((tier) => model.held[tier]).filter(Boolean);
    if (!found.length) return null;
    return { items: caches.sum(found.map((held) => held.items)), bytes: caches.sum(found.map((held) => held.bytes)) };
  }

  const rowsEncoded = (encoder) => (encoder ? encoder.hits + encoder.disk_hits : 0);
  const hitsOf = (model) => caches.sum(Object.values(model.hits));

  function make(model) {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = document.createElement("tr");
    row.dataset.model = model.model;
    const flush = button("Flush", `Flush what the caches have of ${model.model}`, (node) => caches.flushModel(row, row.model, node));
    flush.dataset.action = "flush";
    row.append(
      cell("model", twoLines()),
      cell("bytes", caches.meter()),
      ...Object.entries(LABELS).map(([name, label]) => cell(name, twoLines(), label, true)),
      cell("hits", "", "hits", true),
      cell("rate", "", "hits %", true),
      cell("run", "", "a run, ms", true),
      cell("saved", "", "saved about", true),
      cell("action", flush, "", true),
    );
    row.querySelector(".meter-limit").hidden = true;
    return row;
  }

  function about(model) {
    const parts = [plural(model.requests, "request")];
    if (model.encoder) parts.push(`${plural(model.encoder.encoded, "row")} encoded for others`);
    if (model.held.models) parts.push(`${bytes(model.held.models.bytes)} loaded`);
    if (!model.known) parts.push("no longer in the repository");
    return parts.join(", ");
  }

  /* most: bytes of the model with the most, for the meters. */
  function fill(row, model, most) {
    const { titled } = pyrometer.tables;
    row.model = model;
    const [name, second] = row.querySelectorAll(".col-model > div");
    titled(name, model.model);
    titled(second, about(model));
    const whole = heldIn(model, TIERS) || { items: 0, bytes: 0 };
    setText(row.querySelector(".bytes-words"), `${plural(whole.items, "item")}, ${bytes(whole.bytes)}`);
    row.querySelector(".meter-fill").style.width = `${most > 0 ? ((100 * whole.bytes) / most).toFixed(1) : 0}%`;
    const disk = heldIn(model, DISKS);
    for (const tier of TIERS) fillHeld(row.querySelector(`.col-${tier}`), model.held[tier]);
    fillHeld(row.querySelector(".col-disk"), disk);
    fillYield(row, model);
    const none = !model.known || !(whole.items || (disk && disk.items));
    row.querySelector("[data-action=flush]").setAttribute("aria-disabled", String(none));
  }

  function fillHeld(node, held) {
    const [items, size] = node.querySelectorAll("div");
    const any = Boolean(held && held.items);
    setText(items, any ? caches.short(held.items) : "–");
    setText(size, any ? bytes(held.bytes) : "");
  }

  function fillYield(row, model) {
    const cells = ["hits", "rate", "run", "saved"].map((name) => row.querySelector(`.col-${name}`));
    const [hits, rate, run, saved] = cells;
    caches.fillCount(hits, hitsOf(model) + rowsEncoded(model.encoder), hitWords(model));
    setText(rate, percent(model.hit_percent));
    setText(run, number(model.run_ms));
    run.title = known(model.run_ms) ? `${caches.HEADINGS.run}: ${plural(model.runs, "run")}` : "No run was measured yet";
    setText(saved, caches.took(model.saved_ms));
    saved.title = known(model.saved_ms) ? savedWords(model) : "Nothing hit, or no run was measured yet";
  }

  function hitWords(model) {
    const parts = Object.entries(model.hits).map(([tier, hits]) => `${count(hits)} from ${LABELS[tier]}`);
    if (model.encoder) parts.push(`${plural(rowsEncoded(model.encoder), "row")} from embeddings`);
    return parts.join(", ");
  }

  function savedWords(model) {
    const { encoder } = model;
    const [hits, rows] = [hitsOf(model), rowsEncoded(encoder)];
    const parts = [];
    if (hits && known(model.run_ms)) parts.push(`${plural(hits, "hit")} × ${number(model.run_ms)} ms, the mean run`);
    if (rows && known(encoder.row_ms)) parts.push(`${plural(rows, "row")} × ${number(encoder.row_ms)} ms, the mean to encode one`);
    return `About: ${parts.join("; ")}`;
  }

  function drawModels(answer) {
    const most = Math.max(0, ...answer.models.map((model) => (heldIn(model, TIERS) || { bytes: 0 }).bytes));
    const body = byId("caches-cached-body");
    pyrometer.tables.rows(body, answer.models, (model) => model.model, make, (row, model) => fill(row, model, most));
  }

  Object.assign(caches, { drawModels, heldIn, TIERS, DISKS });
})();
