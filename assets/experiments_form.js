/* The form that makes an experiment: fields of the page's tree, errors at the field they name, and
   the same as a line for a shell. Nothing here is asked while the form is closed. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText } = pyrometer.dom;
  const { count, known } = pyrometer.format;
  const { cut, part, list, controlOf, candidatesOf, nameOf } = experiments.words;
  const PATH = "/performance/experiments";
  const LIMIT_MS = 120000; // a variant may have to be loaded first
  const DEFAULTS = {
    name: "", model: "", mode: "split", header: "", fraction: 0.1, measure: "request", "analysis.kind": "planned", "analysis.requests": 1000, alpha: 0.05, start: true,
    "guards.errors": true, "guards.errors.limit": 0.01, "guards.errors.least": 100,
    "guards.p99": true, "guards.p99.limit": 1.5, "guards.p99.least": 500,
    "guards.disagreement": true, "guards.disagreement.limit": 0.001, "guards.disagreement.least": 200, "guards.disagreement.tolerance": 0.001,
  };
  /* As the field shows them, so that percent are percent. */
  const BOUNDS = {
    fraction: [0, 100], "analysis.requests": [100, 1e8], alpha: [0.01, 20], "guards.errors.limit": [0, 100], "guards.errors.least": [10, 1e8],
    "guards.p99.limit": [1, 1000], "guards.p99.least": [10, 1e8], "guards.disagreement.limit": [0, 100], "guards.disagreement.least": [10, 1e8], "guards.disagreement.tolerance": [0, 1e12],
  };
  let options = null; // of the chosen model
  let optionsOf = "";
  let optionsUnder = null;
  let busy = false;
  let limits = {};
  let off = ""; // why no experiment may start at all
  let isOpen = false;

  const fields = () => [...byId("experiments-form").querySelectorAll("label[data-kind]")];
  const idOf = (key) => `experiments-field-${key.replaceAll(".", "-")}`;
  const control = (key) => byId(idOf(key));
  const valueOf = (key) => pyrometer.forms.valueOf(control(key));

  // Its parts

  function build() {
    for (const label of fields()) {
      const key = label.dataset.field;
      const input = pyrometer.forms.inputOf(label, idOf(key));
      if (key in BOUNDS) Object.assign(input, { min: BOUNDS[key][0], max: BOUNDS[key][1] });
      input.addEventListener("change", tell);
      input.addEventListener("input", tell);
      put(key, DEFAULTS[key]);
    }
    control("name").maxLength = 80;
    control("header").maxLength = 64;
    control("header").placeholder = "x-user-id";
    control("model").addEventListener("change", () => ask());
    control("mode").addEventListener("change", () => {
      put("fraction", valueOf("mode") === "shadow" ? 1 : DEFAULTS.fraction);
      experiments.variants.offer();
    });
    byId("experiments-create").addEventListener("click", create);
    byId("experiments-form").addEventListener("keydown", (event) => event.key === "Enter" && event.target.tagName === "INPUT" && create());
    experiments.variants.on(tell);
    experiments.variants.adopt({ weight: 1 }, []);
  }

  const percent = (key) => control(key).closest("label").dataset.kind === "percent";

  function put(key, value) {
    const input = control(key);
    if (input.type === "checkbox") input.checked = Boolean(value);
    else input.value = value === null || value === undefined ? "" : percent(key) ? String(Number((100 * value).toPrecision(6))) : String(value);
  }

  const models = () => {
    const { answer } = pyrometer.state;
    return [...new Set(list(answer && answer.models).map((one) => one.name))].sort();
  };

  function fillModels() {
    const select = control("model");
    const names = models();
    const key = JSON.stringify(names);
    if (select.dataset.names === key) return;
    select.dataset.names = key;
    const now = select.value || pyrometer.url.get("model") || "";
    select.replaceChildren(...(names.length ? names : [""]).map((name) => {
      const option = element("option", "", name ? cut(name, 80) : "no model is served");
      option.value = name;
      return option;
    }));
    select.value = names.includes(now) ? now : names[0] || "";
  }

  /* What the chosen model can do. */
  async function ask() {
    const model = valueOf("model");
    if (!model || (optionsOf === model && options)) return;
    if (optionsUnder) optionsUnder.abort();
    const own = (optionsUnder = new AbortController());
    optionsOf = model;
    try {
      options = await pyrometer.flame.state.ask(`${PATH}/options?model=${encodeURIComponent(model)}`, own.signal);
    } catch (failure) {
      if (own.signal.aborted) return;
      options = { versions: [], problem: `what ${cut(model, 60)} can do could not be read: ${failure.message}` };
      optionsOf = "";
    }
    optionsUnder = null;
    experiments.variants.accept(options, limits.candidates);
    tell();
  }

  // What is shown of it

  function wanted(label) {
    const [key, value] = (label.dataset.wants || "").split("=");
    return !key || valueOf(key) === value;
  }

  function obstacle() {
    if (off) return off;
    if (known(limits.kept) && limits.used >= limits.kept) return `${count(limits.used)} of ${count(limits.kept)} experiments are kept; delete one first`;
    return "";
  }

  function tell() {
    if (!experiments.variants.any()) return;
    for (const label of fields()) label.hidden = !wanted(label);
    const names = experiments.variants.names();
    control("name").placeholder = cut(`${names.slice(1).join(", ")} beside ${names[0]}`, 80);
    const starts = valueOf("start") === "1";
    const create_ = byId("experiments-create");
    setText(create_.querySelector(".button-text"), busy ? "Creating" : starts ? "Create and start" : "Create draft");
    const blocked = obstacle();
    const blockedStart = starts && options && options.problem ? cut(options.problem, 300) : "";
    create_.disabled = busy || Boolean(blocked) || !valueOf("model");
    setText(byId("experiments-options-problem"), blocked ? `No experiment can be created: ${cut(blocked, 300)}.` : blockedStart ? `It cannot start now: ${blockedStart}.` : "");
    const shadow = valueOf("mode") === "shadow";
    setText(byId("experiments-will"), shadow ? "Control answers everybody; the candidates run beside." : "Callers are shared out by weight; each keeps its variant.");
    writeCurl();
  }

  function writeCurl() {
    const host = byId("experiments-curl");
    let line;
    try {
      line = experiments.command.shell(definition());
    } catch (incomplete) {
      return; // the last whole one stands
    }
    if (!host.firstChild) {
      const { node, code } = pyrometer.command.line("");
      code.tabIndex = 0;
      node.prepend(element("span", "muted", "Or from a shell"));
      host.append(node);
    }
    setText(host.querySelector("code"), line);
  }

  // What it says

  /* A field's fault, before the server is asked. */
  class Fault extends Error {
    constructor(key, words) {
      super(words);
      this.key = key;
    }
  }

  function numberOf(key) {
    const label = control(key).closest("label").querySelector(".form-label").textContent;
    const value = Number(valueOf(key));
    const [low, high] = BOUNDS[key];
    if (valueOf(key) === "" || !known(value) || value < low || value > high) throw new Fault(key, `${label}: a number from ${low} to ${high.toLocaleString("en-US")}`);
    return percent(key) ? Number((value / 100).toPrecision(8)) : value;
  }

  function guardsOf() {
    const parts = { errors: ["limit", "least"], p99: ["limit", "least"], disagreement: ["limit", "least", "tolerance"] };
    return Object.fromEntries(Object.entries(parts).map(([name, keys]) =>
      [name, valueOf(`guards.${name}`) ? Object.fromEntries(keys.map((key) => [key, numberOf(`guards.${name}.${key}`)])) : null]));
  }

  function definition() {
    const shadow = valueOf("mode") === "shadow";
    const planned = valueOf("analysis.kind") === "planned";
    return {
      name: valueOf("name") || control("name").placeholder, model: valueOf("model"), mode: valueOf("mode"), ...experiments.variants.values(),
      ...(!shadow && valueOf("header") ? { header: valueOf("header") } : {}), fraction: numberOf("fraction"), ...(shadow ? {} : { measure: valueOf("measure") }),
      analysis: planned ? { kind: "planned", requests: numberOf("analysis.requests") } : { kind: "always-valid" },
      alpha: numberOf("alpha"), guards: guardsOf(), start: valueOf("start") === "1",
    };
  }

  /* The label of the field that an error of the server begins with; the longest one that fits. */
  function named(words) {
    const fits = (key) => words.startsWith(key) && !/^[\w.[]/.test(words.slice(key.length).replace(/^\.(?=\s|$)/, ""));
    const found = [...byId("experiments-form").querySelectorAll("label[data-field]")].filter((label) => !label.hidden && fits(label.dataset.field));
    return found.sort((one, other) => other.dataset.field.length - one.dataset.field.length)[0] || null;
  }

  function clear() {
    setText(byId("experiments-problem"), "");
    for (const note of byId("experiments-form").querySelectorAll(".experiments-fault")) note.remove();
    for (const input of byId("experiments-form").querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }

  function fault(label, words) {
    if (!label) return setText(byId("experiments-problem"), cut(words, 400));
    const note = element("span", "experiments-fault", cut(words, 300));
    note.id = "experiments-fault";
    note.setAttribute("role", "alert");
    label.append(note);
    const input = label.querySelector(".form-input");
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", note.id);
    return input.focus();
  }

  async function create() {
    if (busy || byId("experiments-create").disabled) return;
    clear();
    busy = true;
    tell();
    let progress = null;
    try {
      const body = definition();
      progress = pyrometer.progress(`Creating ${nameOf(body)}`);
      const made = await pyrometer.post(PATH, body, LIMIT_MS);
      const candidates = candidatesOf(made).map((one) => `${cut(one.name, 40)} (${cut(one.text, 60)})`).join(", ");
      const words = `${nameOf(made)} on ${cut(made.model, 60)}: ${candidates} beside ${cut(controlOf(made).name, 40)}`;
      progress.end("ok", made.state === "running" ? "Started the experiment" : "Created a draft", words);
      if (made.warning) pyrometer.toast("warning", "The variants are the same", cut(made.warning, 300));
      put("name", "");
      [options, optionsOf] = [null, ""]; // one runs now: what may start is another
      pyrometer.url.set({ experiment: made.id, new: null, model: null }, { push: true });
      experiments.page.took(made, made.id);
      scrollTo({ top: 0, behavior: "instant" });
      byId("page").focus({ preventScroll: true });
    } catch (failure) {
      if (progress) progress.end("critical", "The experiment was not created", failure.message);
      fault(failure.key ? control(failure.key).closest("label") : named(failure.message), failure.message);
    } finally {
      busy = false;
      tell();
    }
  }

  // Opened, and filled from another

  function open() {
    pyrometer.url.set({ new: "1" }, { push: true });
    byId("panel-experiments-form").scrollIntoView({ block: "start", behavior: "instant" });
    control("model").focus({ preventScroll: true });
  }

  function adopt(e) {
    const given = experiments.command.definitionOf(e);
    const flat = { ...DEFAULTS, ...given, "analysis.kind": part(e.analysis).kind, "analysis.requests": part(e.analysis).requests || DEFAULTS["analysis.requests"], header: e.header || "" };
    for (const [name, guard] of Object.entries(part(e.guards))) {
      flat[`guards.${name}`] = Boolean(guard);
      for (const [key, value] of Object.entries(part(guard))) flat[`guards.${name}.${key}`] = value;
    }
    clear();
    for (const label of fields()) if (flat[label.dataset.field] !== undefined) put(label.dataset.field, flat[label.dataset.field]);
    experiments.variants.adopt(given.control, given.candidates);
    ask();
    tell();
    open();
  }

  function draw(answer) {
    const opens = byId("experiments-page").dataset.form === "open";
    limits = part(answer && answer.limits);
    off = (answer && answer.problem) || "";
    if (!opens) {
      isOpen = false;
      return;
    }
    fillModels();
    if (!isOpen) [options, optionsOf] = [null, ""]; // opened anew: another may run by now
    isOpen = true;
    ask();
    tell();
  }

  (pyrometer.starters = pyrometer.starters || []).push(build);
  experiments.form = { draw, open, adopt, valueOf };
})();
