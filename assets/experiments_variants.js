/* The form's variants: control and one to four candidates, a fieldset each. What a model cannot do
   is there, disabled, with its reason; names that are left out are made of what differs. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, known } = pyrometer.format;
  const { cut, list, part } = experiments.words;
  const LONGEST_OPTION = 110; // characters
  let most = 4; // candidates; the server says
  let options = null; // of GET /performance/experiments/options
  let changed = () => {};
  /* key, label, kind, hint */
  const FIELDS = [
    ["name", "Name", "text", "Letters, digits, '.', '_' and '-'; empty: made of what differs"],
    ["version", "Version", "choice", "Which version answers"],
    ["backend", "Form", "choice", "A form of the version's plan"],
    ["batching", "Batching", "choice", "Joins waiting rows to one run"],
    ["max_wait_us", "Waits at most, µs", "number", "How long a row waits for others"],
    ["caches", "Caches", "choice", "Answers from the caches, or always by a run"],
    ["weight", "Weight", "number", "Shares of the callers are in proportion"],
  ];

  const host = () => byId("experiments-variants");
  const blocks = () => [...host().children];
  const inputOf = (block, key) => block.querySelector(`[data-part="${key}"]`);
  const valueOf = (block, key) => inputOf(block, key).value.trim();
  const roleOf = (at) => (at ? `candidates[${at - 1}]` : "control");

  // A fieldset

  function field([key, label, kind, hint], at) {
    const input = element(kind === "choice" ? "select" : "input", "form-input");
    if (kind !== "choice") {
      input.type = kind;
      input.autocomplete = "off";
      input.spellcheck = false;
    }
    if (kind === "number") Object.assign(input, { min: key === "weight" ? 0.001 : 0, max: key === "weight" ? 1000 : 1000000, step: "any" });
    if (key === "name") input.maxLength = 40;
    input.dataset.part = key;
    const node = element("label", `form-field form-field-${kind}`, [element("span", "form-label", label), input]);
    node.title = hint;
    node.dataset.part = `label-${key}`;
    node.dataset.field = `${roleOf(at)}.${key}`;
    input.addEventListener("input", () => told(false));
    input.addEventListener("change", () => {
      delete input.dataset.wanted;
      told(true);
    });
    return node;
  }

  function block(at) {
    const remove = element("button", "chip experiments-remove", "Remove");
    remove.type = "button";
    remove.addEventListener("click", () => {
      const focus = node.previousElementSibling;
      node.remove();
      number_();
      told(true);
      inputOf(focus, "name").focus();
    });
    const node = element("fieldset", "experiments-variant", [element("legend", "experiments-legend"), ...FIELDS.map((one) => field(one, at)), remove]);
    return node;
  }

  /* Legends, places and ids after one came or went. */
  function number_() {
    const all = blocks();
    all.forEach((node, at) => {
      const word = at === 0 ? "Control" : all.length > 2 ? `Candidate ${at}` : "Candidate";
      setText(node.querySelector("legend"), word);
      node.dataset.role = at ? "candidate" : "control";
      const remove = node.querySelector(".experiments-remove");
      remove.hidden = at === 0 || all.length <= 2;
      remove.setAttribute("aria-label", `Remove ${word.toLowerCase()}`);
      for (const label of node.querySelectorAll("[data-field]")) label.dataset.field = `${roleOf(at)}.${label.dataset.field.split(".").pop()}`;
    });
    const add = byId("experiments-add");
    add.disabled = all.length > most;
    add.title = add.disabled ? `At most ${most} candidates` : "";
  }

  // What can be chosen

  function fill(select, choices) {
    const key = JSON.stringify(choices);
    if (select.dataset.choices === key) return;
    select.dataset.choices = key;
    const now = select.dataset.wanted || select.value || "";
    select.replaceChildren(...choices.map(({ value, words, reason }) => {
      const option = element("option", "", cut(reason ? `${words}: ${reason}` : words, LONGEST_OPTION));
      option.value = value;
      option.disabled = Boolean(reason);
      if (reason) option.title = cut(reason, 300);
      return option;
    }));
    const kept = choices.find((choice) => choice.value === now && !choice.reason);
    select.value = kept ? now : choices.length ? (choices.find((choice) => !choice.reason) || choices[0]).value : "";
    if (kept) delete select.dataset.wanted;
  }

  const versionOf = (node) => list(options && options.versions).find((one) => String(one.version) === valueOf(node, "version"));

  function versionChoices() {
    const found = list(options && options.versions).map((one) => ({
      value: String(one.version),
      words: `${cut(one.version, 9)}${one.serving ? ", serves" : ""}${one.state && one.state !== "warm" ? `, ${cut(one.state, 20)}` : ""}`,
      reason: "",
      serving: Boolean(one.serving),
    }));
    return found.sort((one, other) => Number(other.serving) - Number(one.serving)).map(({ value, words, reason }) => ({ value, words, reason }));
  }

  function backendChoices(version) {
    const forms = list(version && version.backends).map((one) => ({
      value: String(one.form),
      words: `${cut(one.form, 60)}${known(one.run_us) ? `, ${number(one.run_us)} µs` : ""}${one.verdict === "chosen" ? ", as planned" : ""}`,
      reason: one.possible === false ? cut(one.reason || "not possible", 200) : "",
    }));
    const none = version && !forms.length ? [{ value: "?", words: "others", reason: cut(version.problem || "not known before it is loaded", 200) }] : [];
    return [{ value: "", words: "as planned", reason: "" }, ...forms, ...none];
  }

  function switchChoices(found) {
    const { now, possible, reason } = part(found);
    const on = { value: "on", words: "on", reason: possible === false ? reason || "not possible here" : "" };
    return [{ value: "", words: `as it is${now ? `: ${cut(now, 10)}` : ""}`, reason: "" }, on, { value: "off", words: "off", reason: "" }];
  }

  function offer(node) {
    fill(inputOf(node, "version"), versionChoices());
    const version = versionOf(node);
    fill(inputOf(node, "backend"), backendChoices(version));
    fill(inputOf(node, "batching"), switchChoices(version && version.batching));
    fill(inputOf(node, "caches"), switchChoices(version && version.caches));
    const show = (key, shown) => (node.querySelector(`[data-part="label-${key}"]`).hidden = !shown);
    show("max_wait_us", valueOf(node, "batching") === "on");
    show("weight", experiments.form.valueOf("mode") !== "shadow");
  }

  // Names and values

  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 32);

  /* "scikit-learn", "v2", "batched-uncached": of what a variant asks for itself. */
  function nameFrom(node, at) {
    if (at === 0) return "control";
    const own = (key) => valueOf(node, key);
    const [control] = blocks();
    const parts = [
      own("version") !== valueOf(control, "version") && own("version") ? `v${own("version")}` : "", own("backend"),
      own("batching") === "on" ? "batched" : own("batching") === "off" ? "unbatched" : "", own("caches") === "on" ? "cached" : own("caches") === "off" ? "uncached" : "",
    ];
    return slug(parts.filter(Boolean).join("-")) || "candidate";
  }

  function names() {
    const taken = new Set();
    return blocks().map((node, at) => {
      const given = valueOf(node, "name");
      const base = given || nameFrom(node, at);
      let name = base;
      for (let turn = 2; !given && taken.has(name); turn += 1) name = `${base}-${turn}`;
      taken.add(name);
      return name;
    });
  }

  function told(whole) {
    if (!blocks().length) return;
    if (whole) blocks().forEach(offer);
    const all = names();
    blocks().forEach((node, at) => (inputOf(node, "name").placeholder = all[at]));
    changed();
  }

  /* A variant as the server takes it. */
  function variantOf(node, name) {
    const found = { name };
    for (const key of ["version", "backend", "batching", "caches"]) if (valueOf(node, key)) found[key] = valueOf(node, key);
    if (found.batching === "on" && valueOf(node, "max_wait_us")) found.max_wait_us = Number(valueOf(node, "max_wait_us"));
    if (experiments.form.valueOf("mode") !== "shadow" && valueOf(node, "weight")) found.weight = Number(valueOf(node, "weight"));
    return found;
  }

  function values() {
    const all = names();
    const [control, ...candidates] = blocks().map((node, at) => variantOf(node, all[at]));
    return { control, candidates };
  }

  function put(node, given) {
    for (const [key, , kind] of FIELDS) {
      const value = given[key] === null || given[key] === undefined ? "" : String(given[key]);
      const input = inputOf(node, key);
      input.value = value;
      if (kind === "choice" && value && input.value !== value) input.dataset.wanted = value; // once its model's options are there
    }
  }

  /* Control and candidates of a definition; {} for a plain control and an empty candidate. */
  function adopt(control, candidates) {
    const given = [control, ...(candidates.length ? candidates : [{ weight: 1 }])].slice(0, most + 1);
    host().replaceChildren(...given.map((_, at) => block(at)));
    number_();
    blocks().forEach((node, at) => put(node, given[at]));
    told(true);
  }

  function accept(found, limit) {
    options = found;
    if (known(limit)) most = limit;
    told(true);
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("experiments-add").addEventListener("click", () => {
      const node = block(blocks().length);
      host().append(node);
      number_();
      put(node, { weight: 1 });
      told(true);
      inputOf(node, "backend").focus();
    });
  });
  experiments.variants = { accept, adopt, values, names, offer: () => told(true), on: (listener) => (changed = listener), any: () => blocks().length > 0 };
})();
