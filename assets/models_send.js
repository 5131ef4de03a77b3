/* What is in the form as a request: checked by field before it is sent, and what the server finds
   wrong is said beside the field that it names. What is sent is the real
   POST /v2/models/{model}/infer. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, setText } = pyrometer.dom;
  const TIMEOUT_MS = 120000;
  const TELL_AFTER_MS = 500;
  let busy = false;

  function told(form, node, words) {
    const entry = [...form.fields.values()].find((field) => field.node === node);
    if (!entry) return;
    setText(entry.note, words);
    if (!("value" in node)) return;
    if (words) node.setAttribute("aria-invalid", "true");
    else node.removeAttribute("aria-invalid");
  }

  /* Tensors of what is in the form, or the names of fields that need a look. */
  function read(form) {
    const tensors = [];
    const wrong = [];
    const refuse = (field, problem) => {
      told(form, field.node, problem);
      wrong.push(field);
    };
    for (const group of form.groups) {
      const { spec } = group;
      const first = group.fields && form.fields.get(group.fields[0].key);
      if (!first) {
        const field = form.fields.get(spec.name);
        const found = models.values.tensorOfText(field.node.value, group);
        if (found.problem) refuse(field, `${field.label} ${found.problem}`);
        else tensors.push(found.tensor);
        continue;
      }
      const data = group.fields.map((one) => {
        const field = form.fields.get(one.key);
        const found = models.values.literal(field.node.value, one);
        if (found.problem) refuse(field, `${field.label} ${found.problem}`);
        return found.json;
      });
      tensors.push({ name: spec.name, datatype: spec.datatype, shape: [1, ...spec.shape.slice(1)], data });
    }
    const rows = new Set(tensors.map((tensor) => tensor.shape[0]));
    if (!wrong.length && rows.size > 1) refuse(form.fields.values().next().value, "inputs differ in rows");
    return { tensors, wrong };
  }

  /* The server names an input or a column: its words stand beside that field too. Returns
     whether one was found. */
  function blame(form, message) {
    let found = false;
    for (const match of message.matchAll(/(?:input|output) (?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)) {
      const name = match[1] ?? match[2];
      const field = form.fields.get(name) || [...form.fields.values()].find((one) => one.label.slice(0, 80) === name);
      if (field) told(form, field.node, message);
      found = found || Boolean(field);
    }
    return found;
  }

  function request(one, body) {
    const version = one.version ? `/versions/${encodeURIComponent(one.version)}` : "";
    const headers = { "Content-Type": "application/json" };
    if (pyrometer.url.get("cache") === "0") headers["Cache-Control"] = "no-cache";
    return { url: `/v2/models/${encodeURIComponent(one.name)}${version}/infer`, headers, body };
  }

  /* Send what is in the form, or say what needs a look. outputs: names; none is the default. */
  async function submit(one, form, outputs) {
    const status = byId("model-try-status");
    if (busy) return;
    for (const { node } of form.fields.values()) told(form, node, "");
    const { tensors, wrong } = read(form);
    status.dataset.wrong = String(wrong.length > 0);
    if (wrong.length) {
      const names = wrong.slice(0, 3).map((field) => field.label.slice(0, 60)).join(", ");
      setText(status, `Not sent: ${names}${wrong.length > 3 ? ` and ${wrong.length - 3} more` : ""} ${wrong.length === 1 ? "needs" : "need"} a look`);
      return wrong[0].node.focus();
    }
    return send(one, form, request(one, models.values.bodyOf(tensors, outputs)), status);
  }

  async function send(one, form, asked, status) {
    const button = byId("model-try-send");
    busy = true;
    button.setAttribute("aria-disabled", "true");
    const began = performance.now();
    const word = () => setText(status, `Waiting for the answer, ${Math.floor((performance.now() - began) / 1000)} s`);
    const first = setTimeout(word, TELL_AFTER_MS);
    const timer = setInterval(word, 1000);
    setText(status, "");
    try {
      const response = await fetch(asked.url, { method: "POST", headers: asked.headers, body: asked.body, signal: AbortSignal.timeout(TIMEOUT_MS) });
      const text = await response.text();
      const elapsedMs = performance.now() - began;
      if (models.detail.current() !== one) return;
      const failure = models.answer.show({ asked, response, text, elapsedMs, about: one.about });
      status.dataset.wrong = String(Boolean(failure));
      setText(status, failure ? (blame(form, failure) ? "The server refused it, see above" : failure) : "");
    } catch (failure) {
      status.dataset.wrong = "true";
      setText(status, failure.name === "TimeoutError" ? `No answer within ${TIMEOUT_MS / 1000} s` : "No answer from the server");
    } finally {
      busy = false;
      clearTimeout(first);
      clearInterval(timer);
      button.setAttribute("aria-disabled", "false");
      pyrometer.poll();
    }
  }

  models.send = { submit, told };
})();
