/* The data behind one model's panels, for their menus: as a table, as CSV. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { known } = pyrometer.format;
  const none = (columns) => ({ columns, rows: [], note: "" });

  function plan() {
    const { plan: answer } = models.detail.current() || {};
    const columns = ["Form", "Verdict", "Rows", "Time, µs", "Labels that differ", "Rows compared", "Largest difference", "Why"];
    if (!answer || !answer.plan) return none(columns);
    const rows = answer.plan.candidates.flatMap((form) => {
      const parity = form.parity || { unequal_labels: null, rows: null, max_difference: null };
      const rest = [parity.unequal_labels, parity.rows, parity.max_difference, form.reason];
      const times = Object.entries(form.run_us);
      return (times.length ? times : [[null, null]]).map(([many, us]) => [form.form, form.verdict, many === null ? null : Number(many), us, ...rest]);
    });
    return { columns, rows, note: answer.plan.reason };
  }

  function latency() {
    const { latency: answer } = models.detail.current() || {};
    const columns = ["From, ms", "To, ms", "Requests"];
    if (!answer) return none(columns);
    const rows = answer.counts.map((many, place) => [answer.bounds_ms[place], answer.bounds_ms[place + 1], many]);
    return { columns, rows, note: pyrometer.time.words() };
  }

  function traffic() {
    const { latency: answer } = models.detail.current() || {};
    const columns = ["Kind", "What", "Requests"];
    if (!answer) return none(columns);
    const { limits, counts } = answer.batches;
    const sizes = counts.map((many, place) => ["rows a run", known(limits[place]) ? `up to ${limits[place]}` : `over ${limits[place - 1]}`, many]);
    const outcomes = Object.entries(answer.outcomes).map(([name, many]) => ["outcome", name, many]);
    return { columns, rows: [...sizes, ...outcomes], note: pyrometer.time.words() };
  }

  function schema() {
    const { about } = models.detail.current() || {};
    const columns = ["Kind", "Name", "Datatype", "Shape"];
    if (!about || !about.schema) return none(columns);
    const { inputs, outputs, columns: names } = about.schema;
    const tensor = (kind) => (spec) => [kind, spec.name, spec.datatype, models.shapeOf(spec.shape)];
    const features = names.map((name) => ["column", name, inputs[0].datatype, ""]);
    return { columns, rows: [...inputs.map(tensor("input")), ...(outputs || []).map(tensor("output")), ...features], note: "" };
  }

  function quality() {
    const { about } = models.detail.current() || {};
    const rows = ((about && about.quality) || []).map((one) => [one.name, one.value, one.rows, one.split]);
    return { columns: ["Measure", "Value", "Rows", "Split"], rows, note: "" };
  }

  for (const [name, rows] of Object.entries({ plan, latency, traffic, schema, quality })) {
    pyrometer.pictures.provide(`panel-model-${name}`, { rows });
  }
})();
