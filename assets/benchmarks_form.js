/* The form that starts a benchmark. What differs from the defaults is in the address, so that a
   link opens the same form; bounds and defaults are the server's. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element, setText } = pyrometer.dom;
  const { known, duration } = pyrometer.format;
  const { at, cut } = benchmarks.words;
  const PATH = "/performance/benchmarks";
  const LIMIT_MS = 20000;
  const HALVINGS = 6; // at most, after a ramp's steps
  const NULLABLE = new Set(["rate_per_s", "payload.speed", "slo.p99_ms", "slo.error_percent", "version", "url"]);
  const FOLDERS = { file: "payloads", traffic: "traffic" };
  let form = null; // the server's {defaults, ramp, bounds, files, target}
  let busy = false;

  const fields = () => [...byId("benchmarks-form").querySelectorAll("[data-field]")];
  const idOf = (key) => `benchmarks-field-${key.replace(".", "-")}`;
  const control = (key) => byId(idOf(key));

  // Its parts

  function build() {
    for (const label of fields()) {
      const input = pyrometer.forms.inputOf(label, idOf(label.dataset.field));
      input.addEventListener("change", changed);
      input.addEventListener("input", tell);
      input.addEventListener("keydown", (event) => event.key === "Enter" && event.target.tagName === "INPUT" && start());
    }
    control("name").maxLength = 80;
    byId("benchmarks-start").addEventListener("click", () => start());
    byId("benchmarks-start").disabled = true;
  }

  const valueOf = (key) => pyrometer.forms.valueOf(control(key));

  function put(key, value) {
    const input = control(key);
    if (input.type === "checkbox") input.checked = Boolean(value) && value !== "0";
    else {
      const text = value === null || value === undefined ? "" : String(value);
      if (input.tagName === "SELECT" && text && ![...input.options].some((option) => option.value === text)) choice(input, text);
      input.value = text;
    }
  }

  function choice(select, value, words = value) {
    const option = element("option", "", cut(words, 80));
    option.value = value;
    select.append(option);
  }

  function fillChoices(select, values, blank) {
    const wanted = JSON.stringify(values);
    if (select.dataset.values === wanted) return;
    select.dataset.values = wanted;
    const now = select.value;
    select.replaceChildren();
    for (const value of values) choice(select, value);
    if (!values.length) choice(select, "", blank);
    select.value = now && values.includes(now) ? now : values[0] || "";
  }

  /* Bounds are told by the fields too: the browser marks what is outside. */
  function bound() {
    for (const [key, [low, high]] of Object.entries(form.bounds)) {
      const input = control(key);
      if (!input) continue;
      Object.assign(input, { min: low, max: high });
      const words = `${low} to ${high.toLocaleString("en-US")}`;
      const label = input.closest("label");
      if (!label.title.includes(words)) label.title = label.title ? `${label.title}. ${words}` : words;
    }
    control("url").placeholder = form.target || "http://127.0.0.1:8050";
  }

  function defaultOf(key) {
    if (key === "ramp") return null;
    if (key === "model") return models()[0] || "";
    return key.startsWith("ramp.") ? form.ramp[key.slice(5)] : at(form.defaults, key);
  }

  const models = () => {
    const { answer } = pyrometer.state;
    return [...new Set(((answer && answer.models) || []).map((one) => one.name))].sort();
  };

  /* A model of another server is not among ours. */
  function choose() {
    const model = control("model");
    const names = models();
    const asked = pyrometer.url.get("model");
    if (asked && !names.includes(asked)) names.push(asked.slice(0, 200));
    fillChoices(model, names, "no model is served");
    const source = valueOf("payload.source");
    const files = (form && form.files[source]) || [];
    fillChoices(control("payload.path"), files, `no file in <state>/${FOLDERS[source] || "payloads"}`);
  }

  // What is shown of it

  function wanted(label) {
    const [key, value] = (label.dataset.wants || "").split("=");
    if (!key) return true;
    if (label.dataset.field === "payload.path") return ["file", "traffic"].includes(valueOf("payload.source"));
    const fits = valueOf(key) === value;
    return fits && wanted(byId("benchmarks-form").querySelector(`[data-field="${key}"]`) || label);
  }

  function seconds() {
    const number = (key) => Number(valueOf(key)) || 0;
    const length = valueOf("ramp") && valueOf("loop") === "open" ? (number("ramp.steps") + HALVINGS) * number("ramp.step_s") * 1.1 : number("seconds");
    return number("warmup_s") + length;
  }

  function tell() {
    if (!form) return;
    choose();
    for (const label of fields()) label.hidden = !wanted(label);
    const ramps = valueOf("ramp") && valueOf("loop") === "open";
    for (const key of ["rate_per_s", "seconds"]) byId("benchmarks-form").querySelector(`[data-field="${key}"]`).hidden ||= Boolean(ramps);
    const running = benchmarks.page.running();
    const button = byId("benchmarks-start");
    button.disabled = Boolean(running) || busy || !valueOf("model");
    setText(byId("benchmarks-estimate"), running ? "one runs; one at a time" : `takes ${ramps ? "up to" : "about"} ${duration(Math.max(1, seconds()))}`);
  }

  /* The address has what differs from the defaults. */
  function changed() {
    tell();
    if (!form) return;
    const own = {};
    for (const label of fields()) {
      const key = label.dataset.field;
      const value = valueOf(key);
      const standard = defaultOf(key);
      const plain = standard === null || standard === undefined || standard === false ? "" : standard === true ? "1" : String(standard);
      own[key] = value === plain || label.hidden ? null : value || "0";
      if (label.dataset.kind !== "flag" && value === "" && plain !== "") own[key] = "none";
    }
    pyrometer.url.set(own);
  }

  /* From the address, else the defaults. */
  function fill() {
    choose();
    for (const label of fields()) {
      const key = label.dataset.field;
      const given = pyrometer.url.get(key);
      const value = given === null ? defaultOf(key) : given === "none" ? "" : given.slice(0, 200);
      if (document.activeElement !== control(key)) put(key, value);
    }
    if (["payload.source", "payload.speed", "version", "url", "timeout_s", "seed"].some((key) => pyrometer.url.get(key) !== null)) {
      byId("benchmarks-further").open = true;
    }
    tell();
  }

  /* The settings of a stored run, to change and run again. */
  function adopt(spec) {
    const own = spec.url === form.target ? "" : spec.url;
    for (const label of fields()) {
      const key = label.dataset.field;
      if (key === "url") put(key, own);
      else if (key === "ramp") put(key, spec.ramp ? "1" : "");
      else if (key === "payload.path") put("payload.path", String(at(spec, key) || "").split("/").pop());
      else if (key.startsWith("ramp.") && !spec.ramp) put(key, defaultOf(key));
      else put(key, at(spec, key));
      if (key === "payload.source") choose();
    }
    changed();
    byId("panel-benchmarks-form").scrollIntoView({ block: "nearest" });
    control("model").focus({ preventScroll: true });
  }

  // Start

  function typed(label) {
    const { field: key, kind } = label.dataset;
    const value = valueOf(key);
    if (kind === "flag") return value === "1";
    if (value === "" && (NULLABLE.has(key) || key === "payload.path")) return null;
    if (kind !== "number") return value;
    if (value === "" || !known(Number(value))) throw new Error(`${label.querySelector(".form-label").textContent}: a number is needed`);
    return Number(value);
  }

  function specification() {
    const spec = { payload: {}, slo: {}, ramp: null };
    for (const label of fields()) {
      const key = label.dataset.field;
      if (key === "ramp") continue;
      if (label.hidden && key !== "seconds") continue;
      const [place, name] = key.split(".");
      if (key === "seconds" && label.hidden) continue;
      if (place === "ramp") spec.ramp = { ...spec.ramp, [name]: typed(label) };
      else if (name) spec[place][name] = typed(label);
      else spec[key] = typed(label);
    }
    return spec;
  }

  function problem(words) {
    setText(byId("benchmarks-problem"), words);
  }

  async function start() {
    if (!form || busy || benchmarks.page.running()) return;
    busy = true;
    problem("");
    tell();
    try {
      await pyrometer.post(PATH, specification(), LIMIT_MS);
      benchmarks.page.begun();
    } catch (failure) {
      problem(failure.message);
    } finally {
      busy = false;
      tell();
    }
  }

  function accept(told) {
    const first = form === null;
    form = told;
    bound();
    if (first) fill();
    else tell();
  }

  (pyrometer.starters = pyrometer.starters || []).push(build);
  benchmarks.form = { accept, adopt, fill: () => form && fill(), tell };
})();
