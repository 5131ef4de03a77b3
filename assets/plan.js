/* The plan of one model in a dialog: every form that took part as bars of microseconds on one
   log scale, why each serves or does not, and what can be done with the model. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { number, count, bytes, known } = pyrometer.format;
  const NO_LIMIT = 2147483648;
  const LOAD_LIMIT_MS = 600000;
  const VERDICTS = {
    chosen: { status: "ok", word: "serves" },
    agrees: { status: "unknown", word: "agrees, stands by" },
    out: { status: "warning", word: "out" },
  };
  let opened = null; // {dialog, body, foot, model, version, from}

  const microseconds = (us) => (us >= 1000 ? `${number(us / 1000)} ms` : `${number(us)} µs`);
  const exponent = (value) => (!known(value) ? "without bound" : value === 0 ? "none" : value.toExponential(1));
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  /* The form that serves this many rows. */
  const serving = (plan, rows) => plan.ranges.find(([most]) => rows <= most)[1];

  function rangesInWords(plan) {
    if (plan.ranges.length === 1) return `Every batch size: ${plan.ranges[0][1]}`;
    let low = 1;
    return plan.ranges.map(([most, form]) => {
      const rows = most >= NO_LIMIT ? `${low} rows and more` : `${low} to ${count(most)} rows`;
      low = most + 1;
      return `${rows}: ${form}`;
    }).join("; ");
  }

  /* Bars start a little below the fastest time, so that the fastest is still seen. */
  function scaleOf(plan) {
    const times = plan.candidates.flatMap((form) => Object.values(form.run_us));
    if (!times.length) return () => 0;
    const low = Math.log10(Math.min(...times) / 1.6);
    const high = Math.log10(Math.max(...times));
    return (us) => (100 * (Math.log10(us) - low)) / Math.max(high - low, 0.1);
  }

  function bar(rows, us, width, serves) {
    const fill = element("span", "plan-fill");
    fill.style.width = `${Math.max(1, Math.min(100, width)).toFixed(1)}%`;
    const track = element("span", "plan-track", [fill, element("span", "plan-us num", microseconds(us))]);
    const line = element("div", "plan-bar", [element("span", "plan-rows num", `${rows} ${rows === "1" ? "row" : "rows"}`), track]);
    line.dataset.serves = String(serves);
    line.dataset.rows = rows;
    return line;
  }

  function facts(form, plan) {
    const parts = [];
    if (form.parity) {
      const worst = form.parity.max_difference;
      parts.push(form.quality
        ? `${count(form.parity.unequal_labels)} of ${count(form.parity.rows)} labels differ`
        : `largest difference ${exponent(worst)}, tolerance ${exponent(plan.tolerance)}`);
    }
    if (form.quality) {
      const q = form.quality;
      parts.push(`${q.metric} ${q.before.toFixed(4)} → ${q.after.toFixed(4)} on ${count(q.rows)} rows, at most ${q.largest_loss} may be lost`);
    }
    if (form.file_bytes) parts.push(`file ${bytes(form.file_bytes)}`);
    if (form.memory_bytes) parts.push(`memory ${bytes(form.memory_bytes)}`);
    if (known(form.load_ms)) parts.push(`opens in ${number(form.load_ms)} ms`);
    if (form.finite_only) parts.push("rows with NaN go to another form");
    return parts.join(" · ");
  }

  function formBlock(form, plan, scale) {
    const verdict = VERDICTS[form.verdict] || VERDICTS.out;
    const mark = element("span", "mark");
    mark.dataset.status = verdict.status;
    const head = element("div", "plan-form-head", [
      element("span", "plan-form-name", form.form),
      element("span", "plan-verdict", [mark, verdict.word]),
    ]);
    const bars = Object.entries(form.run_us).map(([rows, us]) =>
      bar(rows, us, scale(us), serving(plan, Number(rows)) === form.form));
    const block = element("section", "plan-form", [
      head,
      element("div", "plan-form-body", bars.length ? bars : element("p", "plan-reason", sentence(form.reason))),
      element("p", "plan-facts", [bars.length ? `${sentence(form.reason)}. ` : "", sentence(facts(form, plan))].join("")),
    ]);
    block.dataset.form = form.form;
    block.dataset.verdict = form.verdict;
    return block;
  }

  function draw(answer) {
    const { body, foot } = opened;
    const plan = answer.plan;
    if (!plan) {
      body.replaceChildren(element("p", "plan-empty",
        answer.error || "No plan yet: it is made when the model is first loaded. Warm up loads it now."));
    } else {
      const scale = scaleOf(plan);
      body.replaceChildren(
        element("p", "plan-why", plan.reason),
        ...(answer.placement ? [element("p", "plan-facts", `${answer.placement.where === "ray" ? "Runs on Ray" : "Runs here, not on Ray"}: ${answer.placement.reason}.`)] : []),
        ...(answer.degraded ? [element("p", "plan-degraded", `Degraded: ${answer.degraded}`)] : []),
        element("div", "plan-forms", plan.candidates.map((form) => formBlock(form, plan, scale))),
        element("p", "plan-facts", `Time of a run, median, log scale. ${rangesInWords(plan)}. Planned in ${number(plan.compile_ms / 1000)} s.`),
      );
    }
    foot.replaceChildren(...actions(answer));
  }

  const action = (verb, title, press) => {
    const node = element("button", "action btn btn-sm btn-link", verb);
    node.type = "button";
    node.title = title;
    node.addEventListener("click", () => press(node));
    return node;
  };

  function actions(answer) {
    const { model, version } = answer;
    const path = encodeURIComponent(model);
    const pin = action(
      answer.pinned ? "Unpin" : "Pin in memory",
      answer.pinned ? "Lets it be evicted like any other" : "Keeps it in memory whatever the budget wants",
      (button) => act(button, `${answer.pinned ? "Unpin" : "Pin"} ${model}`,
        `/performance/models/${path}/pin`, { pinned: !answer.pinned, version }),
    );
    const reload = action("Reload", "Looks at the repository again and loads the model where it changed, failed or is degraded",
      (button) => act(button, `Reload ${model}`, `/v2/repository/models/${path}/load`, {}));
    const unload = action("Unload", "Drops it from memory; it answers no request until it is loaded again",
      async (button) => {
        const text = `Unload ${model}? It answers no request until it is loaded again.`;
        if (await pyrometer.actions.confirmInPlace(opened.foot, "div", text, `Unload ${model}`)) {
          act(button, `Unload ${model}`, `/v2/repository/models/${path}/unload`, {});
        }
      });
    for (const node of [pin, reload, unload]) node.dataset.needs = "operate";
    return [pin, reload, unload];
  }

  async function act(button, what, url, body) {
    button.setAttribute("aria-disabled", "true");
    const began = performance.now();
    try {
      const answer = await pyrometer.post(url, body, LOAD_LIMIT_MS);
      const took = `${number((performance.now() - began) / 1000)} s`;
      pyrometer.toast("ok", what, answer.text || `${answer.name} ${answer.version || ""} done in ${took}`);
    } catch (failure) {
      pyrometer.toast("critical", `${what} failed`, failure.message);
    }
    pyrometer.poll();
    if (opened) load();
  }

  async function load() {
    const { model, version } = opened;
    const url = `/performance/models/${encodeURIComponent(model)}/plan?version=${encodeURIComponent(version)}`;
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(10000) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error || `HTTP ${response.status}`);
      if (opened && opened.model === model) draw(answer);
    } catch (failure) {
      if (!opened) return;
      const again = action("Try again", "Asks the server again", load);
      opened.body.replaceChildren(element("p", "plan-empty", `The plan could not be read: ${failure.message}`), again);
    }
  }

  function show(model, version, from) {
    if (opened) return;
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const title = element("h2", "plan-title", `${model}, version ${version}`);
    title.id = "plan-title";
    const body = element("div", "plan-body", element("p", "plan-empty", "Reading the plan"));
    const foot = element("div", "plan-foot");
    const dialog = element("dialog", "plan", [element("header", "plan-head", [title, close]), body, foot]);
    dialog.setAttribute("aria-labelledby", "plan-title");
    dialog.id = "plan";
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      opened = null;
      if (from.isConnected) from.focus();
    });
    document.body.append(dialog);
    opened = { dialog, body, foot, model, version, from };
    dialog.showModal();
    load();
  }

  pyrometer.plan = { show };
})();
