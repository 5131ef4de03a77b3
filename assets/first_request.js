/* An empty server: what will appear, and a curl line that sends the first request. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { quoted } = pyrometer.command;
  const asked = new Map(); // instance + model -> the command, once its inputs are known
  const ZEROS = { BOOL: false, BYTES: "" };

  function address(model) {
    return `${location.origin}${pyrometer.base.at("/v2/models")}/${encodeURIComponent(model)}`;
  }

  /* One row of zeros for each input of the model's metadata. */
  function command(model, metadata) {
    const inputs = metadata.inputs.map((input) => {
      const shape = input.shape.map((size) => (size > 0 ? size : 1));
      const size = Math.min(4096, shape.reduce((product, side) => product * side, 1));
      const zero = input.datatype in ZEROS ? ZEROS[input.datatype] : 0;
      return { name: input.name, shape, datatype: input.datatype, data: Array(size).fill(zero) };
    });
    const body = quoted(JSON.stringify({ inputs }));
    return `curl -s ${quoted(`${address(model)}/infer`)} -H 'Content-Type: application/json' -d ${body}`;
  }

  async function learn(key, model) {
    asked.set(key, `curl -s ${quoted(address(model))}`);
    try {
      const response = await fetch(`/v2/models/${encodeURIComponent(model)}`, {
        signal: AbortSignal.timeout(5000),
      });
      if (response.ok) asked.set(key, command(model, await response.json()));
    } catch (failure) {
      // the plain line above stands
    }
  }

  function build(note) {
    const { node, code } = pyrometer.command.line();
    code.id = "first-request";
    note.replaceChildren(element("div", "first-words"), node);
    return code;
  }

  pyrometer.firstRequest = { command };
  pyrometer.showFirstRequest = function (note, blank, state) {
    if (note.hidden === blank) note.hidden = !blank;
    if (!blank) return;
    const model = (state.answer.models || []).find((one) => one.state !== "failed");
    if (!model) {
      pyrometer.dom.setText(note, "No model to ask yet");
      return;
    }
    const key = `${state.instance} ${model.name}`;
    if (!asked.has(key)) learn(key, model.name);
    const code = note.querySelector("code") || build(note);
    pyrometer.dom.setText(code, asked.get(key));
    const words = `No requests in the ${pyrometer.time.words()}. Latency will appear here with the next one:`;
    pyrometer.dom.setText(note.querySelector(".first-words"), words);
  };
})();
