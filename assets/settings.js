/* The Settings page: GET /performance/settings when it is shown and when another server answers.

   Address: q is searched for in name, group, help, value and where it came from; changed=1 leaves
   what differs from its default. Rows are made once an answer and hidden by the filters. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { bytes, plural } = pyrometer.format;
  const PATH = "/performance/settings";
  const TYPING_MS = 250;
  const SOURCES = { flag: "flag", environment: "environment", code: "code", default: "default" };
  let answer = null;
  let instance = null; // of the server that gave it
  let under = null;
  let problem = "";
  let rows = []; // {setting, row, words}

  // Words

  function valueWords(setting, value) {
    if (setting.kind === "secret") return value;
    if (setting.kind === "switch") return value ? "on" : "off";
    if (value === "" || value === null) return "none";
    if (setting.unit === "bytes") return bytes(value);
    const words = setting.kind === "number" ? plain(value) : String(value);
    return setting.unit ? `${words} ${setting.unit === "us" ? "µs" : setting.unit}` : words;
  }

  /* 4000000 -> "4,000,000", 0.00001 -> "0.00001"; a port stays as it is. */
  function plain(value) {
    if (Number.isInteger(value) && Math.abs(value) < 100000) return String(value);
    return value.toLocaleString("en-US", { maximumFractionDigits: 12 });
  }

  function exact(setting, value) {
    return setting.unit === "bytes" && typeof value === "number" ? `${value.toLocaleString("en-US")} bytes` : String(value === null ? "" : value);
  }

  function range({ low, high, unit, kind }) {
    if (kind === "switch") return "on or off";
    const show = (value) => (unit === "bytes" ? bytes(value) : plain(value));
    if (low === null && high === null) return "";
    if (high === null) return `${show(low)} or more`;
    return low === null ? `at most ${show(high)}` : `${show(low)} to ${show(high)}`;
  }

  const searched = (setting) => [
    setting.name, setting.group, setting.help, setting.variable, setting.flag, setting.unit,
    valueWords(setting, setting.value), SOURCES[setting.source], setting.given || "",
  ].join(" ").toLowerCase();

  // The list

  function cell(name, content, title) {
    const node = element("td", `col-${name}`, content);
    if (title) node.title = title;
    return node;
  }

  /* Long names break after an underscore. */
  const breakable = (name) => name.split("_").flatMap((part, at) => (at ? ["_", element("wbr"), part] : [part]));

  const source = (setting) => [
    element("div", "", SOURCES[setting.source]),
    setting.given ? element("div", "cell-2 settings-given", breakable(setting.given)) : "",
  ];

  function settingRow(setting) {
    const name = element("th", "col-name", [
      element("div", "settings-name", [
        element("code", "", setting.name),
        setting.changed ? element("span", "settings-mark", "changed") : "",
      ]),
      element("div", "cell-2", setting.help),
    ]);
    name.scope = "row";
    name.title = [setting.help, setting.flag, setting.variable].filter(Boolean).join("\n");
    const value = cell("value", element("div", "settings-value", valueWords(setting, setting.value)), exact(setting, setting.value));
    if (setting.changed) value.append(element("div", "cell-2", `default ${valueWords(setting, setting.default)}`));
    const row = element("tr", "", [
      name, value, cell("range", range(setting)), cell("source", source(setting), setting.given || setting.variable),
    ]);
    row.dataset.setting = setting.name;
    row.dataset.source = setting.source;
    row.toggleAttribute("data-changed", setting.changed);
    return row;
  }

  function groupRow(group) {
    const heading = element("th", "settings-group", [
      element("span", "settings-group-name", group), element("span", "settings-group-count num"),
    ]);
    heading.colSpan = 4;
    heading.scope = "rowgroup";
    return element("tr", "settings-group-row", heading);
  }

  function build() {
    rows = [];
    const table = byId("settings-table");
    for (const body of [...table.tBodies]) body.remove();
    for (const group of answer.groups) {
      const own = answer.settings.filter((setting) => setting.group === group);
      if (!own.length) continue;
      const body = element("tbody", "", groupRow(group));
      body.dataset.group = group;
      for (const setting of own) {
        const row = settingRow(setting);
        rows.push({ setting, row, words: searched(setting) });
        body.append(row);
      }
      table.append(body);
    }
  }

  function matches({ setting, words }, params) {
    const asked = (params.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    return asked.every((part) => words.includes(part)) && (params.changed !== "1" || setting.changed);
  }

  const listed = () => rows.filter(({ row }) => !row.hidden).map(({ setting }) => setting);

  function filter(params) {
    const search = byId("settings-search");
    if (document.activeElement !== search) search.value = params.q || "";
    byId("settings-changed").setAttribute("aria-pressed", String(params.changed === "1"));
    for (const entry of rows) entry.row.hidden = !matches(entry, params);
    for (const body of byId("settings-table").tBodies) {
      const shown = [...body.rows].filter((row) => row.dataset.setting && !row.hidden).length;
      body.hidden = shown === 0;
      setText(body.querySelector(".settings-group-count"), String(shown));
    }
    tell(params);
  }

  function tell(params) {
    const now = listed();
    const changed = answer ? answer.settings.filter((setting) => setting.changed).length : 0;
    const stale = problem ? `not refreshed: ${problem}; ` : "";
    const among = now.length < rows.length ? `${now.length} of ${rows.length} listed, ` : `${plural(rows.length, "setting")}, `;
    setText(byId("readout-settings"), answer ? `${stale}${among}${changed} changed` : "");
    byId("settings-copy").disabled = !answer;
    const note = byId("empty-settings");
    note.hidden = now.length > 0;
    if (now.length) return undefined;
    if (!answer) return problem ? retry(note) : setText(note, "Asking for the settings");
    const words = params.q ? `No ${params.changed === "1" ? "changed setting" : "setting"} has "${params.q.slice(0, 80)}"` : "Every setting is at its default";
    const clear = chip("Show all settings", () => pyrometer.url.set({ q: null, changed: null }, { push: true }));
    return note.replaceChildren(element("div", "", words), clear);
  }

  function chip(words, press) {
    const button = element("button", "chip", words);
    button.type = "button";
    button.addEventListener("click", press);
    return button;
  }

  function retry(note) {
    note.replaceChildren(element("div", "", `The settings could not be read: ${problem}. The other pages go on.`), chip("Try again", load));
  }

  // Asking

  async function load() {
    if (under) return;
    under = new AbortController();
    const asked = pyrometer.state.instance;
    try {
      answer = await pyrometer.flame.state.ask(PATH, under.signal);
      instance = asked;
      problem = "";
      build();
      pyrometer.settingsAbout.draw(answer.about);
    } catch (failure) {
      if (!under.signal.aborted) problem = failure.message;
    } finally {
      under = null;
    }
    draw(pyrometer.url.all());
  }

  function draw(params) {
    if (pyrometer.router.current() !== "settings") return;
    byId("settings-page").dataset.state = problem ? (answer ? "stale" : "error") : answer ? "shown" : "loading";
    filter(params);
  }

  // Copy

  /* A line for each of these settings that was changed; what is not told is a comment. */
  function lines(settings) {
    return settings.filter((setting) => setting.changed).map((setting) => (setting.text === null
      ? `# ${setting.variable} is set; its value is not shown`
      : `${setting.variable}=${pyrometer.command.quoted(setting.text)}`));
  }

  function copy() {
    const found = lines(listed());
    if (!found.length) return pyrometer.toast("warning", "Nothing to copy", "No setting that is listed was changed");
    const text = `${found.join("\n")}\n`;
    const names = found.map((line) => line.split("=")[0]).join(", ").slice(0, 300);
    return pyrometer.clipboard.write(text, { done: `Copied ${plural(found.length, "line")}`, what: "the lines are", detail: names });
  }

  function wire() {
    const search = element("input", "form-input");
    Object.assign(search, { id: "settings-search", type: "search", placeholder: "Search settings", autocomplete: "off", spellcheck: false });
    let typing = 0;
    search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => pyrometer.url.set({ q: search.value.trim() || null }), TYPING_MS);
    });
    byId("settings-search-field").append(search);
    byId("settings-changed").addEventListener("click", () => {
      pyrometer.url.set({ changed: pyrometer.url.get("changed") === "1" ? null : 1 }, { push: true });
    });
    byId("settings-copy").addEventListener("click", copy);
  }

  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.settings = { lines };
  pyrometer.pages.add("settings", {
    enter: (params) => {
      draw(params);
      load();
    },
    change: draw,
    draw: (state) => {
      if (instance !== null && state.instance !== instance && !document.hidden) load();
    },
    leave: () => under && under.abort(),
  });
})();
