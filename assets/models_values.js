/* From what was typed to V2 tensors, and from sample rows to what can be typed. Pure.

   field    {key, tensor, place, label, datatype, missing, most, options}   one value of a row
   group    {spec, width, value, fields | null}   an input; width null where the caller decides it
   tensor   {name, datatype, shape, data}  data: JSON literals, so that no digit is lost */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const MOST_FIELDS = 40;
  const MOST_OPTIONS = 200;
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const WHOLE = /^[+-]?\d+$/;
  const BITS = /^(U?)INT(\d+)$/;
  const LARGEST = { FP16: 65504, FP32: 3.4028234663852886e38, FP64: Number.MAX_VALUE };

  const isFloat = (datatype) => datatype.startsWith("FP");

  function boundsOf(datatype) {
    const [, unsigned, bits] = BITS.exec(datatype);
    const span = 1n << BigInt(bits);
    return unsigned ? [0n, span - 1n] : [-span / 2n, span / 2n - 1n];
  }

  /* One value as JSON: {json}, or {problem} in words that follow the field's name. */
  function literal(text, { datatype, missing, most }) {
    const given = text.trim();
    if (datatype === "BYTES") return { json: JSON.stringify(text) };
    if (given === "" || /^(nan|null|none)$/i.test(given)) {
      return missing ? { json: "null" } : { problem: given === "" ? "needs a value" : "may not be missing" };
    }
    if (datatype === "BOOL") {
      const word = given.toLowerCase();
      return ["true", "false"].includes(word) ? { json: word } : { problem: `is “${given.slice(0, 20)}”; it takes true or false` };
    }
    if (isFloat(datatype)) {
      if (!NUMBER.test(given)) return { problem: `is “${given.slice(0, 20)}”; it takes a number` };
      const value = Number(given);
      if (Math.abs(value) > (most || LARGEST[datatype])) return { problem: `is beyond ${(most || LARGEST[datatype]).toPrecision(3)} in size` };
      return { json: JSON.stringify(value) };
    }
    if (!WHOLE.test(given)) return { problem: `is “${given.slice(0, 20)}”; it takes a whole number` };
    const [low, high] = boundsOf(datatype);
    const value = BigInt(given.replace("+", ""));
    return value < low || value > high ? { problem: `is outside ${datatype}, ${low} to ${high}` } : { json: String(value) };
  }

  // What a form asks for

  function widthOf(spec) {
    const sizes = spec.shape.slice(1);
    return sizes.some((size) => size < 1) ? null : sizes.reduce((product, size) => product * size, 1);
  }

  function fieldsOf(schema, spec, width) {
    const named = schema.columns.length === width && schema.inputs.length === 1;
    const known = schema.categories[spec.name] || null;
    const missing = isFloat(spec.datatype) && (schema.nan_inputs === null || schema.nan_inputs.includes(spec.name));
    return Array.from({ length: width }, (_, place) => ({
      key: `${spec.name}\n${place}`,
      tensor: spec.name,
      place,
      label: named ? schema.columns[place] : width === 1 ? spec.name : `${spec.name}[${place}]`,
      datatype: spec.datatype,
      missing,
      most: schema.finite_float32 ? LARGEST.FP32 : 0, // the model refuses what is larger
      options: spec.datatype === "BOOL" ? ["true", "false"] : known && known.length <= MOST_OPTIONS ? known : null,
    }));
  }

  /* Groups of a schema; asText: none of them as fields. A fixed number of rows is for text. */
  function groupsOf(schema, asText) {
    const widths = schema.inputs.map(widthOf);
    const total = widths.reduce((sum, width) => sum + (width === null ? Infinity : width), 0);
    return schema.inputs.map((spec, place) => {
      const width = widths[place];
      const asFields = !asText && width !== null && spec.shape[0] < 1 && (width === 1 || total <= MOST_FIELDS);
      const [{ datatype, missing, most }] = fieldsOf(schema, spec, 1);
      return { spec, width, value: { datatype, missing, most }, fields: asFields ? fieldsOf(schema, spec, width) : null };
    });
  }

  const mayBeFields = (schema) => groupsOf(schema, false).some((group) => group.fields && group.spec.datatype !== "BYTES");

  // From text to a tensor

  /* The sizes of nested lists; null where they are ragged. */
  function nestedShape(value) {
    if (!Array.isArray(value)) return [];
    const inner = value.map(nestedShape);
    if (!inner.length || inner.some((shape) => shape === null || String(shape) !== String(inner[0]))) return null;
    return [value.length, ...inner[0]];
  }

  const wordOf = (value) => (value === null ? "" : typeof value === "string" ? value : String(value));

  function parsedJson(text) {
    try {
      const value = JSON.parse(text);
      return Array.isArray(value) ? { value } : { problem: "must be a list" };
    } catch (fault) {
      return { problem: `is no JSON: ${fault.message.slice(0, 120)}` };
    }
  }

  /* {words, shape} of a JSON list or of lines of values; shape as it was written. */
  function cellsOf(text, spec) {
    const given = text.trim();
    if (!given && spec.datatype !== "BYTES") return { problem: "needs values" };
    if (given.startsWith("[")) {
      const { value, problem } = parsedJson(given);
      if (!problem) {
        const shape = nestedShape(value);
        if (!shape) return { problem: "has rows of different lengths" };
        return { words: value.flat(Infinity).map(wordOf), shape };
      }
      if (spec.datatype !== "BYTES") return { problem };
    }
    if (spec.datatype === "BYTES") return { words: [text], shape: [1] }; // a text is one row, whatever lines it has
    const lines = given.split(/\r?\n/).map((line) => line.trim().replace(/[,;]$/, "")).filter(Boolean);
    const rows = lines.map((line) => line.split(line.includes(",") ? /\s*,\s*/ : /[;\s]+/));
    const even = rows.every((row) => row.length === rows[0].length);
    return { words: rows.flat(), shape: even ? [rows.length, rows[0].length] : [rows.flat().length] };
  }

  /* The shape that these many values have in the model's terms; {problem} where they have none. */
  function shapeFor(spec, width, written, total) {
    if (width === null) {
      const fits = written.length === spec.shape.length && spec.shape.every((size, place) => size < 1 || size === written[place]);
      return fits ? { shape: written } : { problem: `has shape [${written.join(", ")}]; the model takes ${models.shapeOf(spec.shape)}` };
    }
    if (total % width || !total) return { problem: `has ${total} values; a row has ${width}` };
    const rows = total / width;
    if (spec.shape[0] > 0 && rows !== spec.shape[0]) return { problem: `has ${rows} rows; the model takes ${spec.shape[0]} at once` };
    return { shape: [rows, ...spec.shape.slice(1)] };
  }

  /* A tensor of an input's text, or {problem}. */
  function tensorOfText(text, { spec, width, value: kind }) {
    const cells = cellsOf(text, spec);
    if (cells.problem) return cells;
    const { shape, problem } = shapeFor(spec, width, cells.shape, cells.words.length);
    if (problem) return { problem };
    const data = [];
    for (const [place, word] of cells.words.entries()) {
      const value = literal(word, kind);
      if (value.problem) return { problem: `value ${place + 1} ${value.problem}` };
      data.push(value.json);
    }
    return { tensor: { name: spec.name, datatype: spec.datatype, shape, data } };
  }

  /* A request's body, as text. outputs: names; none is the model's default. */
  function bodyOf(tensors, outputs) {
    const inputs = tensors.map(({ name, datatype, shape, data }) =>
      `{"name":${JSON.stringify(name)},"shape":${JSON.stringify(shape)},"datatype":${JSON.stringify(datatype)},"data":[${data.join(",")}]}`);
    const asked = outputs.length ? `,"outputs":${JSON.stringify(outputs.map((name) => ({ name })))}` : "";
    return `{"inputs":[${inputs.join(",")}]${asked}}`;
  }

  /* The words of a text's first row; [] where it has none. */
  function firstRow(text, { spec, width }) {
    const { words } = cellsOf(text, spec);
    return words ? words.slice(0, width || words.length) : [];
  }

  // From samples to what can be typed

  /* The values of one sample row of an input, as text. */
  function sampleRow(samples, name, row) {
    const tensor = samples && samples.inputs.find((input) => input.name === name);
    if (!tensor || !tensor.shape[0]) return null;
    const width = tensor.data.length / tensor.shape[0];
    return tensor.data.slice(row * width, (row + 1) * width).map(wordOf);
  }

  /* A row as the text of its input: lines of the last axis, JSON beyond two of them. */
  function sampleText(samples, { spec }, row) {
    if (spec.shape[0] > 0) {
      const tensor = samples && samples.inputs.find((input) => input.name === spec.name);
      return tensor ? JSON.stringify(tensor.data) : "";
    }
    const words = sampleRow(samples, spec.name, row);
    if (!words) return "";
    const tensor = samples.inputs.find((input) => input.name === spec.name);
    if (spec.datatype === "BYTES") return words.length === 1 ? words[0] : JSON.stringify(words);
    const shape = tensor.shape.slice(1);
    if (shape.length > 2) return JSON.stringify(nested(words.map((word) => (word === "" ? null : Number(word))), [1, ...shape]));
    const line = shape.length === 2 ? shape[1] : words.length;
    const lines = [];
    for (let from = 0; from < words.length; from += line) lines.push(words.slice(from, from + line).map((word) => word || "null").join(", "));
    return lines.join("\n");
  }

  function nested(flat, shape) {
    if (shape.length < 2) return flat;
    const size = flat.length / shape[0];
    return Array.from({ length: shape[0] }, (_, place) => nested(flat.slice(place * size, (place + 1) * size), shape.slice(1)));
  }

  models.values = { literal, groupsOf, mayBeFields, tensorOfText, firstRow, bodyOf, sampleRow, sampleText };
})();
