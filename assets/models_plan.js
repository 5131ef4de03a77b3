/* The plan of the model that is shown: each form that took part, its time by batch size on one
   log scale, whether its answers are the model's own, and why it serves or does not. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, count, bytes, known } = pyrometer.format;
  const NO_LIMIT = 2147483648;
  const MARGIN = 0.06; // of the scale's length, at either end
  const VERDICTS = {
    chosen: { status: "ok", word: "serves" },
    agrees: { status: "unknown", word: "stands by" },
    out: { status: "warning", word: "out" },
  };
  let drawn = null;

  const microseconds = (us) => (us >= 999500 ? `${number(us / 1e6)} s` : us >= 999.5 ? `${number(us / 1000)} ms` : `${number(us)} µs`);
  const tick = (us) => (us >= 1e6 ? `${us / 1e6} s` : us >= 1000 ? `${us / 1000} ms` : `${us} µs`);
  const exponent = (value) => (!known(value) ? "without bound" : value === 0 ? "no difference" : value.toExponential(1));
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const rowsWord = (rows) => `${count(rows)} ${rows === 1 ? "row" : "rows"}`;

  function sizesOf(plan) {
    const sizes = plan.candidates.flatMap((form) => Object.keys(form.run_us).map(Number));
    return [...new Set(sizes)].sort((a, b) => a - b);
  }

  const serving = (plan, rows) => plan.ranges.find(([most]) => rows <= most)[1];

  function rangesInWords(plan) {
    let low = 1;
    return plan.ranges.map(([most, form]) => {
      const rows = most >= NO_LIMIT ? (low === 1 ? "every batch size" : `${count(low)} rows and more`) : `${count(low)} to ${rowsWord(most)}`;
      low = most + 1;
      return `${rows} by ${form}`;
    }).join(", ");
  }

  /* {place(us) -> percent, ticks: [us]} of all times of the plan; null where none was measured. */
  function scaleOf(plan) {
    const times = plan.candidates.flatMap((form) => Object.values(form.run_us)).filter((us) => us > 0);
    if (!times.length) return null;
    const [low, high] = [Math.log10(Math.min(...times)), Math.log10(Math.max(...times))];
    const spread = Math.max(high - low, 0.3);
    const place = (us) => 100 * (MARGIN + ((Math.log10(us) - low) / spread) * (1 - 2 * MARGIN));
    const steps = spread < 1.2 ? [1, 2, 5] : [1];
    const ticks = [];
    for (let decade = Math.floor(low) - 1; decade <= high + 1; decade += 1) {
      for (const step of steps) {
        const at = place(step * 10 ** decade);
        if (at >= 0 && at <= 100) ticks.push(step * 10 ** decade);
      }
    }
    return { place, ticks };
  }

  function gridLines(scale) {
    return scale.ticks.map((us) => {
      const line = element("span", "plan-grid");
      line.style.left = `${scale.place(us).toFixed(2)}%`;
      return line;
    });
  }

  function axis(scale) {
    if (!scale) return "";
    const labels = scale.ticks.map((us) => {
      const label = element("span", "plan-tick num", tick(us));
      label.style.left = `${scale.place(us).toFixed(2)}%`;
      return label;
    });
    return element("div", "plan-axis", labels);
  }

  function lanes(form, plan, scale, sizes) {
    if (!scale) return "";
    const lines = sizes.map((rows) => {
      const us = form.run_us[rows];
      const lane = element("span", "plan-lane");
      if (!known(us)) return lane;
      const at = `${scale.place(us).toFixed(2)}%`;
      const stem = element("span", "plan-stem");
      const dot = element("span", "plan-dot");
      stem.style.width = at;
      dot.style.left = at;
      lane.dataset.serves = String(serving(plan, rows) === form.form);
      lane.append(stem, dot);
      lane.title = `${form.form}, ${rowsWord(rows)}: ${microseconds(us)}`;
      return lane;
    });
    const place = element("div", "plan-lanes", [...gridLines(scale), ...lines]);
    place.setAttribute("aria-hidden", "true"); // the figures stand beside it
    return place;
  }

  function parity(form, plan) {
    if (form.quality) {
      const q = form.quality;
      return [`${q.metric} ${q.before.toFixed(4)} → ${q.after.toFixed(4)}`, `on ${count(q.rows)} rows, at most ${q.largest_loss} may be lost`];
    }
    if (!form.parity) return form.form === plan.candidates[0].form ? ["the model as it is", ""] : ["not compared", ""];
    const { unequal_labels: unequal, rows, max_difference: worst } = form.parity;
    const labels = unequal ? `${count(unequal)} of ${count(rows)} labels differ` : `same labels, ${count(rows)} rows`;
    return [labels, worst === 0 ? "no difference" : `largest difference ${exponent(worst)}`];
  }

  function facts(form) {
    const parts = [];
    if (form.file_bytes) parts.push(`file ${bytes(form.file_bytes)}`);
    if (form.memory_bytes) parts.push(`memory ${bytes(form.memory_bytes)}`);
    if (known(form.load_ms)) parts.push(`opens in ${microseconds(form.load_ms * 1000)}`);
    if (form.finite_only) parts.push("rows with NaN go to another form");
    return sentence(parts.join(", "));
  }

  function timeCell(form, plan, rows) {
    const us = form.run_us[rows];
    const cell = element("td", "plan-time num text-end", known(us) ? microseconds(us) : "–");
    cell.dataset.label = rowsWord(rows);
    cell.dataset.rows = String(rows);
    cell.dataset.serves = String(known(us) && serving(plan, rows) === form.form);
    return cell;
  }

  function formRow(form, plan, scale, sizes) {
    const verdict = VERDICTS[form.verdict] || VERDICTS.out;
    const mark = element("span", "mark");
    mark.dataset.status = verdict.status;
    const [labels, difference] = parity(form, plan);
    const name = element("th", "plan-who", [
      element("div", "cell-1", form.form),
      element("div", "plan-word", [mark, verdict.word]),
    ]);
    name.scope = "row";
    const row = element("tr", "", [
      name,
      element("td", "plan-chart", lanes(form, plan, scale, sizes)),
      ...sizes.map((rows) => timeCell(form, plan, rows)),
      element("td", "plan-parity num", [element("div", "cell-1", labels), element("div", "cell-2", difference)]),
      element("td", "plan-because", [element("div", "plan-reason-words", sentence(form.reason)), element("div", "cell-2", facts(form))]),
    ]);
    row.querySelector(".plan-reason-words").title = form.reason;
    row.dataset.form = form.form;
    row.dataset.verdict = form.verdict;
    row.dataset.measured = String(Object.keys(form.run_us).length > 0);
    return row;
  }

  function table(plan) {
    const scale = scaleOf(plan);
    const sizes = sizesOf(plan);
    const heading = (className, content) => {
      const node = element("th", className, content);
      node.scope = "col";
      return node;
    };
    const head = element("tr", "", [
      heading("plan-who", "Form"),
      heading("plan-chart", scale ? [element("span", "visually-hidden", "Times on a log scale"), axis(scale)] : "Time"),
      ...sizes.map((rows) => heading("plan-time text-end", rowsWord(rows))),
      heading("plan-parity", "Same answers"),
      heading("plan-because", "Why"),
    ]);
    const body = element("tbody", "", plan.candidates.map((form) => formRow(form, plan, scale, sizes)));
    const made = element("table", "plan-table", [element("thead", "", head), body]);
    made.style.setProperty("--sizes", String(Math.max(1, sizes.length)));
    return made;
  }

  function waiting(words, ...more) {
    const place = byId("model-plan");
    place.replaceChildren(element("p", "model-words", words), ...more);
    setText(byId("readout-model-plan"), "");
  }

  function draw(one) {
    if (!one.plan) {
      if (one.problems.plan) models.retry(byId("model-plan"), `The plan could not be read: ${one.problems.plan}`);
      return;
    }
    if (one.plan === drawn) return;
    drawn = one.plan;
    const { plan, state, error } = one.plan;
    if (!plan) {
      const words = state === "loading" ? "The model is being loaded: its plan is made now." : "No plan in memory: it is made, or read, when the model is loaded.";
      return waiting(error ? `No plan: ${error}` : words, ...(state === "loading" ? [] : [models.warmHere()]));
    }
    const legend = element("span", "plan-legend", `lines from above: ${sizesOf(plan).map(count).join(", ")} rows; median, log scale`);
    byId("readout-model-plan").replaceChildren(legend);
    byId("model-plan").replaceChildren(
      element("p", "model-why", plan.reason),
      ...(one.plan.placement ? [element("p", "model-words", models.placementWords(one.plan.placement))] : []),
      table(plan),
      element("p", "model-words", `Served: ${rangesInWords(plan)}. Real values may differ by ${exponent(plan.tolerance)} at most. Planned in ${number(plan.compile_ms / 1000)} s.`),
    );
  }

  function clear() {
    drawn = null;
    waiting("Asking for the plan");
  }

  /* A button that presses Warm up in the page's head. */
  models.warmHere = () => {
    const node = element("button", "chip", "Warm it up");
    node.type = "button";
    node.addEventListener("click", () => byId("model-actions").querySelector("[data-model-action=warmup]").click());
    return node;
  };

  /* Words and a button in the place of what could not be read. */
  models.retry = (place, words) => {
    if (place.dataset.problem === words && place.querySelector("button")) return;
    place.dataset.problem = words;
    const again = element("button", "chip", "Try again");
    again.type = "button";
    again.addEventListener("click", () => {
      setText(place.querySelector(".model-words"), "Asking again");
      models.detail.refresh();
    });
    place.replaceChildren(element("p", "model-words", words), again);
  };

  (models.parts = models.parts || []).push({ draw, clear });
})();
