/* What a tried request was answered: values as a table or as JSON, where its time went, what
   the caches did, and the curl line that repeats it exactly. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, count, known } = pyrometer.format;
  const { quoted } = pyrometer.command;
  const MOST_ROWS = 100;
  const MOST_COLUMNS = 12;
  const NAMES = {
    infer: "inference", post: "postprocess", // the rest are called as everywhere
  };
  const COLOURED = { infer: "inference" }; // the name that requests.css knows a phase by

  function curlOf({ url, headers, body }) {
    const given = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`).join(" ");
    return `curl -s ${quoted(location.origin + pyrometer.base.at(url))} ${given} -d ${quoted(body)}`;
  }

  // Values

  const isFloat = (datatype) => datatype.startsWith("FP");

  function valueWords(value, datatype) {
    if (value === null) return "NaN";
    if (!known(value) || !isFloat(datatype)) return String(value);
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(4) : String(Number(value.toPrecision(7)));
  }

  /* A class answered as its number has a name in the model's metadata. */
  function classWord(about, output, value) {
    if (output.shape.length !== 1 || isFloat(output.datatype) || !about.schema) return "";
    const place = about.schema.classes.indexOf(String(value));
    const label = about.labels.length === about.schema.classes.length ? about.labels[place] : undefined;
    return label && label !== String(value) ? label : "";
  }

  const widthOf = (output) => output.data.length / Math.max(1, output.shape[0]);

  function labelsOf(about, output) {
    return models.labelsOf(about, { shape: output.shape }) || Array.from({ length: widthOf(output) }, (_, place) => `[${place}]`);
  }

  /* True for one number from 0 to 1 for each class, or such that are one together. */
  function areShares(output, about) {
    if (!isFloat(output.datatype) || widthOf(output) < 2) return false;
    if (!output.data.every((value) => known(value) && value >= 0 && value <= 1)) return false;
    const sum = output.data.reduce((total, value) => total + value, 0);
    return Boolean(models.labelsOf(about, { shape: output.shape })) || Math.abs(sum - 1) < 0.01;
  }

  function rowHead(output) {
    const name = element("th", "answer-name", output.name);
    name.scope = "rowgroup";
    name.rowSpan = output.data.length;
    return name;
  }

  /* One row: a line for each value, with a bar where all of an output are shares of one. */
  function oneRow(outputs, about) {
    const lines = outputs.flatMap((output) => {
      const labels = widthOf(output) > 1 ? labelsOf(about, output) : [""];
      const shares = areShares(output, about);
      return output.data.map((value, place) => {
        const fill = element("span", "batch-fill");
        fill.style.width = shares ? `${(100 * value).toFixed(1)}%` : "0";
        const word = classWord(about, output, value);
        return element("tr", place ? "" : "answer-first", [
          ...(place ? [] : [rowHead(output)]),
          element("td", "answer-label", labels[place]),
          element("td", "answer-value num", [element("b", "", valueWords(value, output.datatype)), word ? ` ${word}` : ""]),
          element("td", "answer-bar", shares ? element("span", "batch-track", fill) : ""),
        ]);
      });
    });
    return element("table", "answer-table", element("tbody", "", lines));
  }

  function manyRows(outputs, about) {
    const rows = outputs[0].shape[0];
    const columns = outputs.flatMap((output) => {
      const width = widthOf(output);
      const labels = width > 1 ? labelsOf(about, output) : [""];
      return labels.slice(0, MOST_COLUMNS).map((label, place) => ({ output, width, place, title: label ? `${output.name} ${label}` : output.name }));
    });
    const heading = (words) => {
      const node = element("th", "text-end", words);
      node.scope = "col";
      return node;
    };
    const head = element("tr", "", [heading("Row"), ...columns.map((column) => heading(column.title))]);
    const body = Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, row) => element("tr", "", [
      element("td", "num text-end muted", String(row + 1)),
      ...columns.map(({ output, width, place }) => {
        const value = output.data[row * width + place];
        const word = classWord(about, output, value);
        return element("td", "num text-end", `${valueWords(value, output.datatype)}${word ? ` ${word}` : ""}`);
      }),
    ]));
    const left = [];
    if (rows > MOST_ROWS) left.push(`the first ${MOST_ROWS} of ${count(rows)} rows`);
    if (outputs.some((output) => widthOf(output) > MOST_COLUMNS)) left.push(`the first ${MOST_COLUMNS} values of an output`);
    return element("div", "", [
      element("table", "answer-table answer-many", [element("thead", "", head), element("tbody", "", body)]),
      ...(left.length ? [element("p", "model-words", `Shown: ${left.join(", ")}. JSON has all.`)] : []),
    ]);
  }

  /* Indented, but a list of plain values on one line. */
  const pretty = (answer) => JSON.stringify(answer, null, 2).replace(/\[\n[^[\]{}]*?\]/g, (list) => list.replace(/\s*\n\s*/g, " "));

  function valuesNode(answer, about) {
    const outputs = answer.outputs || [];
    const table = outputs.length ? (outputs[0].shape[0] > 1 ? manyRows(outputs, about) : oneRow(outputs, about)) : element("p", "model-words", "No outputs");
    const code = element("pre", "answer-json num", pretty(answer));
    code.tabIndex = 0;
    code.setAttribute("role", "region");
    code.setAttribute("aria-label", "The answer as JSON");
    const scroll = element("div", "answer-scroll", table);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "The answer");
    const button = element("button", "chip", "");
    button.type = "button";
    button.id = "model-answer-view";
    const host = element("div", "answer-values", [scroll, code]);
    const show = () => {
      const json = pyrometer.url.get("view") === "json";
      scroll.hidden = json;
      code.hidden = !json;
      button.textContent = json ? "View as table" : "View as JSON";
    };
    button.addEventListener("click", () => pyrometer.url.set({ view: pyrometer.url.get("view") === "json" ? null : "json" }));
    host.follow = show;
    show();
    return { host, button };
  }

  // Timing

  /* "decode;dur=0.031, infer;dur=0.2" -> [{name, ms, from}], the rest of the total last. */
  function stepsOf(header, total) {
    let from = 0;
    const steps = (header || "").split(",").map((part) => {
      const [name, ...given] = part.trim().split(";");
      const duration = given.find((one) => one.startsWith("dur="));
      return { name, ms: duration ? Number(duration.slice(4)) : NaN };
    }).filter((step) => known(step.ms));
    const rest = total - steps.reduce((sum, step) => sum + step.ms, 0);
    if (rest > 0.0005) steps.push({ name: "unaccounted", ms: rest });
    return steps.map((step) => {
      const placed = { ...step, from };
      from += step.ms;
      return placed;
    });
  }

  function bar(step, total) {
    const fill = element("span", "waterfall-fill");
    fill.style.left = `${Math.min(99.5, (100 * step.from) / total)}%`;
    fill.style.width = `${Math.max(0.5, Math.min(100, (100 * step.ms) / total))}%`;
    const row = element("li", "waterfall-row", [
      element("span", "waterfall-name", NAMES[step.name] || step.name),
      element("span", "waterfall-track", fill),
      element("span", "waterfall-ms num", number(step.ms)),
      element("span", "waterfall-share num", `${((100 * step.ms) / total).toFixed(1)} %`),
    ]);
    row.dataset.phase = COLOURED[step.name] || step.name;
    return row;
  }

  function waterfall(header, totalMs, elapsedMs) {
    const steps = stepsOf(header, totalMs);
    const sum = steps.reduce((whole, step) => whole + step.ms, 0);
    const total = Math.max(totalMs, sum, 1e-6);
    const rest = Math.max(0, elapsedMs - totalMs);
    return pyrometer.waterfall.scaled(element("div", "waterfall answer-waterfall", [
      element("ol", "waterfall-bars", steps.map((step) => bar(step, total))),
      element("p", "model-words num", `Laid end to end. ${number(elapsedMs)} ms as this browser saw it, ${number(rest)} ms of them on the way.`),
    ]), total);
  }

  function flag(status, words) {
    const mark = element("span", "mark");
    mark.dataset.status = status;
    return element("li", "state", [mark, words]);
  }

  function flags(response, asked) {
    const header = (name) => response.headers.get(name);
    const hit = header("X-Cache-Hit") === "true";
    const off = "Cache-Control" in asked.headers;
    const list = [
      flag(hit ? "ok" : "unknown", hit ? "answered from cache" : off ? "caches not asked" : "not in a cache"),
      flag(header("X-Cold-Start") === "true" ? "warning" : "ok", header("X-Cold-Start") === "true" ? "the model was cold" : "the model was warm"),
    ];
    if (header("X-Backend")) list.push(flag(header("X-Degraded") === "true" ? "warning" : "ok", `${header("X-Backend")}${header("X-Degraded") === "true" ? ", stands in for one that failed" : ""}`));
    if (header("X-Batch-Rows")) list.push(flag("ok", `in a run of ${header("X-Batch-Rows")} rows`));
    return element("ul", "answer-flags", list);
  }

  // The whole

  function repeat(asked) {
    const { node, code } = pyrometer.command.line(curlOf(asked));
    code.id = "model-answer-curl";
    code.tabIndex = 0;
    return element("div", "answer-part", [element("h3", "model-sub", "To repeat it"), node]);
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch (fault) {
      return null;
    }
  }

  /* Draw an answer; returns the server's words where it is an error, else "". */
  function show({ asked, response, text, elapsedMs, about }) {
    const answer = parsed(text);
    const totalMs = Number(response.headers.get("X-Processing-Time")) || 0;
    const failure = response.ok && answer ? "" : (answer && answer.error) || `HTTP ${response.status}`;
    const id = response.headers.get("X-Request-Id");
    const mark = element("span", "mark");
    mark.dataset.status = failure ? "critical" : "ok";
    const head = element("div", "answer-head", [
      mark, element("b", "answer-total num", totalMs ? `${number(totalMs)} ms` : "–"),
      element("span", "answer-status num", `${response.status} ${failure ? "refused" : "answered"}`),
      element("span", "answer-id num", id ? `request ${id}` : ""),
    ]);
    const body = [head];
    if (failure) body.push(element("p", "answer-failure", failure));
    else {
      const { host, button } = valuesNode(answer, about);
      head.append(button);
      body.push(flags(response, asked), host);
    }
    if (totalMs) body.push(element("h3", "model-sub", "Where its time went"), waterfall(response.headers.get("Server-Timing"), totalMs, elapsedMs));
    body.push(repeat(asked));
    const node = byId("model-answer");
    node.replaceChildren(...body);
    node.dataset.status = failure ? "critical" : "ok";
    return failure;
  }

  function blank() {
    const node = element("div", "try-answer", element("p", "model-words model-blank", "The answer, where its time went, and the line that repeats it will appear here."));
    node.id = "model-answer";
    node.setAttribute("aria-live", "polite");
    return node;
  }

  function draw() {
    const values = document.querySelector("#model-answer .answer-values");
    if (values && values.follow) values.follow();
  }

  models.answer = { show, blank, curlOf, stepsOf };
  (models.parts = models.parts || []).push({ draw, clear: () => {} });
})();
