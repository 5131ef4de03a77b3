/* What the model takes and gives, how good it was on rows it had not seen, and its versions. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, count, bytes, known, plural } = pyrometer.format;
  const KINDS = {
    FP16: "half-precision number", FP32: "single-precision number", FP64: "number", BYTES: "text", BOOL: "true or false",
  };
  const MOST_AT_ONCE = 40; // names; more of them scroll
  let drawn = null;

  const kindOf = (datatype) => KINDS[datatype] || "whole number";
  const shapeOf = (shape) => `[${shape.map((size, place) => (size >= 0 ? size : place ? "any" : "rows")).join(", ")}]`;

  /* The words for the places of an output's last axis, or null: labels of metadata, else classes. */
  function labelsOf(about, spec) {
    const { classes } = about.schema || { classes: [] };
    const labels = about.labels.length ? about.labels : classes;
    const width = spec.shape.length > 1 ? spec.shape[spec.shape.length - 1] : 0;
    return width > 0 && labels.length === width ? labels : null;
  }

  function tensorRow(spec, note) {
    return element("tr", "", [
      element("td", "schema-name", element("div", "cell-1", spec.name)),
      element("td", "num", spec.datatype),
      element("td", "num", shapeOf(spec.shape)),
      element("td", "schema-note", note),
    ]);
  }

  function tensorTable(title, rows) {
    const heading = (words) => {
      const node = element("th", "", words);
      node.scope = "col";
      return node;
    };
    const head = element("tr", "", ["Name", "Datatype", "Shape", "What it is"].map(heading));
    return element("div", "", [
      element("h3", "model-sub", title),
      element("table", "schema-table", [element("thead", "", head), element("tbody", "", rows)]),
    ]);
  }

  function inputNote(schema, spec) {
    const parts = [kindOf(spec.datatype)];
    const known_ = schema.categories[spec.name];
    if (known_) parts.push(`one of ${plural(known_.length, "text")}: ${known_.slice(0, 6).join(", ")}${known_.length > 6 ? ", …" : ""}`);
    if (schema.nan_inputs && spec.datatype.startsWith("FP")) parts.push(schema.nan_inputs.includes(spec.name) ? "may be missing" : "never missing");
    return parts.join(", ");
  }

  const namesOf = (about) => (about.labels.length ? about.labels : about.schema.classes);
  const hasClasses = (about) => about.schema.classes.length > 0 && namesOf(about).length > 0;
  const sayMore = (about) => hasClasses(about) && namesOf(about).some((name, place) => name !== String(place));

  function outputNote(about, spec, place) {
    const labels = labelsOf(about, spec);
    const classes = labels ? "one for each class" : spec.shape.length === 1 && hasClasses(about) && !spec.datatype.startsWith("FP") ? "one of the classes" : "";
    return [kindOf(spec.datatype), classes, place === 0 ? "answered by default" : ""].filter(Boolean).join(", ");
  }

  function nameList(title, names) {
    const items = names.map((name) => {
      const item = element("li", "", name);
      item.title = name;
      return item;
    });
    const list = element("ol", "schema-columns num", items);
    const scroll = element("div", names.length > MOST_AT_ONCE ? "schema-scroll" : "", list);
    if (names.length > MOST_AT_ONCE) {
      scroll.tabIndex = 0;
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", title);
    }
    return element("div", "", [element("h3", "model-sub", `${title}, ${count(names.length)}`), scroll]);
  }

  function drawSchema(about) {
    const { schema } = about;
    const host = byId("model-schema");
    host.dataset.problem = "";
    setText(byId("readout-model-schema"), schema ? `as ${schema.read_from} has it` : "");
    if (!schema) {
      return host.replaceChildren(element("p", "model-words", "The schema is read from the model when it is loaded."), models.warmHere());
    }
    const outputs = schema.outputs
      ? tensorTable("Outputs", schema.outputs.map((spec, place) => tensorRow(spec, outputNote(about, spec, place))))
      : element("p", "model-words", "Its outputs are known once it is loaded.");
    return host.replaceChildren(
      tensorTable(about.encoder ? `Inputs, encoded by ${about.encoder}` : "Inputs", schema.inputs.map((spec) => tensorRow(spec, inputNote(schema, spec)))),
      outputs,
      ...(sayMore(about) ? [nameList("Classes", namesOf(about))] : []),
      ...(schema.columns.length ? [nameList("Columns", schema.columns)] : []),
    );
  }

  const fact = (name, value) => (value ? [element("dt", "", name), element("dd", "num", value)] : []);

  function qualityRow(measure) {
    const value = known(measure.value) ? measure.value.toFixed(4) : "–";
    const share = known(measure.value) && measure.value >= 0 && measure.value <= 1 ? measure.value : 0;
    const fill = element("span", "batch-fill");
    fill.style.width = `${(100 * share).toFixed(1)}%`;
    const where = [measure.split, known(measure.rows) ? plural(measure.rows, "row") : ""].filter(Boolean).join(", ");
    return element("li", "batch-row quality-row", [
      element("span", "batch-size", String(measure.name)), element("span", "batch-track", fill),
      element("b", "batch-many num", value), element("span", "quality-where num", where),
    ]);
  }

  function drawQuality(about) {
    const trained = known(about.trained_rows) ? `trained on ${plural(about.trained_rows, "row")}` : "";
    setText(byId("readout-model-quality"), trained);
    const measures = about.quality.length
      ? [element("ol", "batch-list", about.quality.map(qualityRow))]
      : [element("p", "model-words", "Nobody wrote down how good it is: metadata.json beside the artefact may hold “quality”, a list of name, value, rows and split.")];
    byId("model-quality").replaceChildren(...measures, element("dl", "model-facts", [
      ...fact("Data", about.data ? String(about.data) : ""),
      ...fact("Format", about.format),
      ...fact("Digest", about.digest.slice(0, 16)),
      ...fact("Results kept", about.cache.results ? (about.cache.ttl_s ? `for ${number(about.cache.ttl_s)} s` : "as long as it serves") : "no"),
    ]));
  }

  function versionRow(version, about) {
    const mark = element("span", "mark");
    setStatus(mark, version.error && version.state === "warm" ? "warning" : models.stateOf({ state: version.state }).status);
    const link = element("a", "model-link num", version.version);
    link.href = `/models?${new URLSearchParams({ model: about.model, version: version.version })}`;
    if (version.version === about.version) link.setAttribute("aria-current", "true");
    const failed = version.state === "failed";
    const notes = [failed ? "" : version.serving ? "serves" : "stands by", version.pinned ? "pinned" : "", version.unloaded ? "unloaded" : "", version.error || ""].filter(Boolean).join(", ");
    const row = element("tr", "", [
      element("td", "", link),
      element("td", "", element("span", "state", [mark, version.state])),
      element("td", "", element("div", "cell-1", version.backend || version.format)),
      element("td", "num text-end", known(version.memory_mb) ? bytes(version.memory_mb * 1e6) : "–"),
      element("td", "num text-end", known(version.load_ms) ? `${number(version.load_ms / 1000)} s` : "–"),
      element("td", "schema-note", notes),
    ]);
    row.dataset.version = version.version;
    return row;
  }

  function drawVersions(about) {
    const heading = ([words, end]) => {
      const node = element("th", end ? "text-end" : "", words);
      node.scope = "col";
      return node;
    };
    const head = element("tr", "", [["Version"], ["State"], ["Form"], ["Memory", true], ["Loaded in", true], ["Notes"]].map(heading));
    const rows = [...about.versions].sort((one, other) => Number(other.version) - Number(one.version));
    setText(byId("readout-model-versions"), plural(rows.length, "version"));
    byId("model-versions").replaceChildren(element("table", "schema-table versions-table", [
      element("thead", "", head), element("tbody", "", rows.map((version) => versionRow(version, about))),
    ]));
  }

  function draw(one) {
    if (!one.about) {
      if (one.problems.about) models.retry(byId("model-schema"), `The schema could not be read: ${one.problems.about}`);
      return;
    }
    if (one.about === drawn) return;
    drawn = one.about;
    drawSchema(one.about);
    drawQuality(one.about);
    drawVersions(one.about);
  }

  function clear() {
    drawn = null;
    for (const [name, words] of [["schema", "Asking for the schema"], ["quality", "Asking for it"], ["versions", "Asking for them"]]) {
      byId(`model-${name}`).replaceChildren(element("p", "model-words", words));
      setText(byId(`readout-model-${name}`), "");
    }
  }

  Object.assign(models, { labelsOf, kindOf, shapeOf });
  (models.parts = models.parts || []).push({ draw, clear });
})();
