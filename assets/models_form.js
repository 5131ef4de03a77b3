/* Try it: a form made from the model's schema, filled with a sample row; models_send.js reads and
   sends it.

   sample=2, outputs=a,b, cache=0, as=text in the address.
   form {key, schema, groups, fields: Map key -> {node, note, label}, row, edited, node} */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText } = pyrometer.dom;
  const { count, plural } = pyrometer.format;
  let form = null;
  let ordinal = 0; // makes ids of fields that no name can break

  const asText = () => pyrometer.url.get("as") === "text";
  const named = (text) => (text ? text.split(",").map(decodeURIComponent) : []);

  // Building

  function control(field) {
    if (field.options) {
      const node = element("select", "form-input", field.options.map((text) => {
        const option = element("option", "", text);
        option.value = text;
        return option;
      }));
      return node;
    }
    const node = element("input", "form-input num");
    Object.assign(node, { type: "text", autocomplete: "off", spellcheck: false });
    if (field.datatype !== "BYTES") node.inputMode = field.datatype.startsWith("FP") ? "decimal" : "numeric";
    if (field.missing) node.placeholder = "missing";
    return node;
  }

  function place(key, label, node, made) {
    ordinal += 1;
    node.id = `model-field-${ordinal}`;
    const note = element("span", "try-problem");
    note.id = `model-field-${ordinal}-problem`;
    node.setAttribute("aria-describedby", note.id);
    node.addEventListener("input", () => edited(node));
    node.addEventListener("change", () => edited(node));
    made.set(key, { node, note, label });
    const words = element("label", "try-label", label);
    words.htmlFor = node.id;
    words.title = label;
    return element("div", "try-field", [words, node, note]);
  }

  function edited(node) {
    form.edited = true;
    markSample();
    models.send.told(form, node, "");
  }

  function groupNode(group, made, alone) {
    const { spec } = group;
    const about = `${spec.datatype} ${models.shapeOf(spec.shape)}`;
    const single = group.fields && group.fields.length === 1;
    const long = single && alone && spec.datatype === "BYTES" && !group.fields[0].options; // a text of its own
    if (single && !long) return place(group.fields[0].key, group.fields[0].label, control(group.fields[0]), made);
    if (group.fields && !long) {
      const grid = element("div", "try-grid", group.fields.map((field) => place(field.key, field.label, control(field), made)));
      const note = element("span", "try-problem");
      made.set(spec.name, { node: grid, note, label: spec.name });
      return element("div", "try-group", [...(alone ? [] : [element("div", "try-group-name", `${spec.name}, ${about}`)]), grid, note]);
    }
    const area = element("textarea", "form-input try-area");
    area.spellcheck = false;
    area.rows = spec.datatype === "BYTES" ? 12 : 8;
    const what = spec.datatype === "BYTES" ? "a text is one row; a JSON list of texts is several" : `rows of ${group.width === null ? "values" : plural(group.width, "value")}, as CSV lines or JSON`;
    area.placeholder = what;
    const field = place(spec.name, spec.name, area, made);
    field.classList.add("try-wide");
    field.firstChild.append(element("span", "unit", `, ${about}: ${what}`));
    return field;
  }

  function samplesBar(samples) {
    const many = samples && samples.rows ? Math.min(5, samples.rows) : 0;
    if (!many) return element("div", "try-bar", element("span", "try-note", "No sample rows: samples.npz beside the artefact may hold some."));
    const fixed = form.groups.some((group) => group.spec.shape[0] > 0);
    const buttons = Array.from({ length: fixed ? 1 : many }, (_, row) => {
      const node = element("button", "try-choice num", String(row + 1));
      node.type = "button";
      node.dataset.sample = String(row + 1);
      node.setAttribute("aria-label", `Fill in sample row ${row + 1}`);
      node.addEventListener("click", () => {
        form.edited = false;
        fill(samples, row);
        pyrometer.url.set({ sample: row ? row + 1 : null });
      });
      return node;
    });
    const group = element("div", "try-choices", buttons);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Sample rows");
    return element("div", "try-bar", [
      element("span", "try-label", "Sample row"), group,
      element("span", "try-note num", samples.read_from === "samples.npz" ? `of ${count(samples.held)} in samples.npz` : samples.read_from),
    ]);
  }

  function shapeSwitch(schema) {
    if (!models.values.mayBeFields(schema)) return "";
    const made = [["fields", "Fields"], ["text", "JSON or CSV"]].map(([mode, words]) => {
      const node = element("button", "try-choice", words);
      node.type = "button";
      node.setAttribute("aria-pressed", String((mode === "text") === asText()));
      node.addEventListener("click", () => pyrometer.url.set({ as: mode === "text" ? "text" : null }));
      return node;
    });
    const group = element("div", "try-choices", made);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "How rows are given");
    return group;
  }

  function tick(words, kind, value, changed) {
    const box = element("input", "try-box");
    box.type = "checkbox";
    box.dataset[kind] = value;
    box.addEventListener("change", () => changed(box.checked));
    return element("label", "try-tick", [box, element("span", "", words)]);
  }

  /* Outputs asked for in the address that the model has; none is the model's default. */
  function outputsAsked() {
    const known = (form.schema.outputs || []).map((spec) => spec.name);
    return named(pyrometer.url.get("outputs")).filter((name) => known.includes(name));
  }

  /* Boxes are ticked as the address says. */
  function follow() {
    const asked = outputsAsked();
    const first = (form.schema.outputs || []).slice(0, 1).map((spec) => spec.name);
    for (const box of form.node.querySelectorAll("[data-output]")) box.checked = (asked.length ? asked : first).includes(box.dataset.output);
    form.node.querySelector("[data-caches]").checked = pyrometer.url.get("cache") !== "0";
  }

  function outputsBar(schema) {
    const outputs = (schema.outputs || []).map((spec) => spec.name);
    const ticks = outputs.map((name) => tick(name, "output", name, () => {
      const names = outputs.filter((_, at) => ticks[at].firstChild.checked);
      const plain = !names.length || (names.length === 1 && names[0] === outputs[0]);
      pyrometer.url.set({ outputs: plain ? null : names.map(encodeURIComponent).join(",") });
      follow();
    }));
    const caches = tick("Use caches", "caches", "yes", (on) => pyrometer.url.set({ cache: on ? null : 0 }));
    const group = element("fieldset", "try-outputs", [element("legend", "try-label", "Outputs"), ...ticks]);
    return element("div", "try-bar try-options", [...(ticks.length ? [group] : []), caches]);
  }

  function build(one) {
    const { schema } = one.about;
    const typed = form && form.edited ? typedRows() : new Map();
    const made = new Map();
    form = { key: keyOf(one), groups: models.values.groupsOf(schema, asText()), fields: made, edited: typed.size > 0, schema };
    const alone = form.groups.length === 1;
    const allSingles = form.groups.every((group) => group.fields && group.fields.length === 1);
    const bodies = form.groups.map((group) => groupNode(group, made, alone));
    const send = element("button", "action btn btn-sm btn-link try-send", "Send");
    send.type = "submit";
    send.id = "model-try-send";
    const status = element("span", "try-status num");
    status.id = "model-try-status";
    status.setAttribute("role", "status");
    const node = element("form", "try-form", [
      element("div", "try-top", [samplesBar(one.samples), shapeSwitch(schema)]),
      element("div", allSingles ? "try-grid" : "try-groups", bodies),
      outputsBar(schema),
      element("div", "try-bar", [send, status]),
    ]);
    node.noValidate = true;
    node.addEventListener("submit", (event) => {
      event.preventDefault();
      models.send.submit(one, form, outputsAsked());
    });
    form.node = node;
    const answer = byId("model-answer") || models.answer.blank();
    byId("model-try").replaceChildren(element("div", "try-columns", [node, answer]));
    for (const group of form.groups) if (typed.has(group.spec.name)) writeRow(group, typed.get(group.spec.name));
  }

  // Filling

  /* What was typed, by input: {text} of an area, or the words of a row. */
  function typedRows() {
    const typed = new Map();
    for (const group of form.groups) {
      const fields = (group.fields || []).map((field) => form.fields.get(field.key));
      const area = form.fields.get(group.spec.name);
      if (fields.length && fields[0]) typed.set(group.spec.name, { words: fields.map(({ node }) => node.value) });
      else typed.set(group.spec.name, { text: area.node.value, words: models.values.firstRow(area.node.value, group) });
    }
    return typed;
  }

  function writeRow(group, { text, words }) {
    const area = form.fields.get(group.spec.name);
    const first = group.fields && form.fields.get(group.fields[0].key);
    if (first) group.fields.forEach((field, at) => (form.fields.get(field.key).node.value = words[at] ?? ""));
    else if (area) area.node.value = text ?? words.map((word) => word || "null").join(", ");
  }

  function fill(samples, row) {
    for (const group of form.groups) {
      const words = models.values.sampleRow(samples, group.spec.name, row);
      if (words && group.fields && form.fields.has(group.fields[0].key)) {
        group.fields.forEach((field, at) => (form.fields.get(field.key).node.value = words[at] ?? ""));
      } else if (form.fields.has(group.spec.name)) {
        form.fields.get(group.spec.name).node.value = models.values.sampleText(samples, group, row);
      }
    }
    form.row = row;
    for (const { node } of form.fields.values()) models.send.told(form, node, "");
    markSample(row);
  }

  function markSample(row = null) {
    for (const node of form.node.querySelectorAll("[data-sample]")) node.setAttribute("aria-pressed", String(row !== null && Number(node.dataset.sample) === row + 1));
  }

  // As a part of the page

  const keyOf = (one) => JSON.stringify([one.about.schema, one.samples && [one.samples.rows, one.samples.read_from], asText()]);

  /* What a request would meet now. */
  function where({ name, about }) {
    if (about.unloaded) return "unloaded: it answers no request until it is loaded again";
    if (about.state === "failed") return "failed: it answers no request until it is loaded again";
    if (about.state === "warm") return `POST /v2/models/${name.slice(0, 40)}/infer`;
    return about.state === "cold" ? "cold: the first request loads it" : "being loaded: a request waits for it";
  }

  function draw(one) {
    const host = byId("model-try");
    if (!one.about) {
      if (one.problems.about) models.retry(host, `The schema could not be read: ${one.problems.about}`);
      return;
    }
    host.dataset.problem = "";
    setText(byId("readout-model-try"), where(one));
    if (!one.about.schema) {
      form = null;
      host.replaceChildren(element("p", "model-words", "The form is made from the schema, which is read when the model is loaded."), models.warmHere());
      return;
    }
    if (!form || form.key !== keyOf(one)) build(one);
    const row = Math.min(Math.max(1, Number(pyrometer.url.get("sample")) || 1), (one.samples && one.samples.rows) || 1) - 1;
    if (one.samples && one.samples.rows && !form.edited && form.row !== row) {
      fill(one.samples, row);
    }
    follow();
  }

  function clear() {
    form = null;
    byId("model-try").replaceChildren(element("p", "model-words", "Asking for the schema"));
    setText(byId("readout-model-try"), "");
  }

  (models.parts = models.parts || []).push({ draw, clear });
})();
