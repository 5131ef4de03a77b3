/* The command palette: Ctrl-K or Cmd-K, or the search button.

   A combobox over a list: the focus stays in the input, arrow keys choose, Enter runs, Escape
   closes. What destroys something is asked in the list's place, with the way back in focus. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const KEPT_KEY = "pyrometer-palette";
  const [KEPT, SHOWN_KEPT, MOST, PAGE] = [12, 5, 60, 8];
  const LONGEST = 160; // characters of a label that are drawn
  let dialog = null;
  let commands = [];
  let options = []; // [{command, node}] in their order
  let active = 0;

  // Recent ones

  function recent() {
    try {
      const ids = JSON.parse(localStorage.getItem(KEPT_KEY));
      return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
    } catch (refused) {
      return [];
    }
  }

  function remember(id) {
    if (id.length > 200) return;
    try {
      localStorage.setItem(KEPT_KEY, JSON.stringify([id, ...recent().filter((one) => one !== id)].slice(0, KEPT)));
    } catch (refused) {
      // a browser that keeps nothing has no recent ones
    }
  }

  // The list

  /* [{heading, found: [{command, places}]}]: the recent first, then by group; typed, by worth. */
  function sections(text) {
    if (text.trim()) return [{ heading: "", found: pyrometer.paletteSearch(commands, text).slice(0, MOST) }];
    const byName = new Map(commands.map((command) => [command.id, command]));
    const last = recent().map((id) => byName.get(id)).filter(Boolean).slice(0, SHOWN_KEPT);
    const rest = commands.filter((command) => !command.quiet && !last.includes(command));
    const plain = (list) => list.map((command) => ({ command, places: new Set() }));
    const groups = [...new Set(rest.map((command) => command.group))].map((group) => ({
      heading: group, found: plain(rest.filter((command) => command.group === group).slice(0, MOST / 3)),
    }));
    return [{ heading: "Recent", found: plain(last) }, ...groups].filter(({ found }) => found.length);
  }

  /* The label with what was found in it marked. */
  function labelNodes(label, places) {
    const parts = [];
    let run = { marked: false, text: "" };
    const end = () => run.text && parts.push(run.marked ? element("mark", "", run.text) : run.text);
    [...label.slice(0, LONGEST)].forEach((letter, at) => {
      const marked = places.has(at);
      if (marked !== run.marked) {
        end();
        run = { marked, text: "" };
      }
      run.text += letter;
    });
    end();
    return label.length > LONGEST ? [...parts, "…"] : parts;
  }

  function optionNode({ command, places }, at, withGroup) {
    const node = element("li", "palette-option", [
      element("span", `icon icon-${command.icon}`),
      element("span", "palette-label", labelNodes(command.label, places)),
      element("span", "palette-hint num", command.hint || ""),
    ]);
    if (withGroup) node.append(element("span", "palette-group", command.group));
    node.id = `palette-option-${at}`;
    node.dataset.command = command.id.slice(0, 200);
    node.setAttribute("role", "option");
    node.setAttribute("aria-selected", "false");
    node.addEventListener("pointermove", (event) => (event.movementX || event.movementY) && choose(at, false));
    node.addEventListener("click", () => press(command));
    return node;
  }

  function sectionNode({ heading, found }) {
    const nodes = found.map((one) => {
      const node = optionNode(one, options.length, !heading);
      options.push({ command: one.command, node });
      return node;
    });
    if (!heading) return nodes;
    const title = element("li", "palette-heading", heading);
    title.setAttribute("role", "presentation");
    title.id = `palette-heading-${heading.toLowerCase()}`;
    const list = element("ul", "palette-section", [title, ...nodes]);
    list.setAttribute("role", "group");
    list.setAttribute("aria-labelledby", title.id);
    return [list];
  }

  function draw() {
    const input = byId("palette-input");
    options = [];
    const nodes = sections(input.value).flatMap(sectionNode);
    const list = byId("palette-list");
    list.replaceChildren(...nodes);
    list.scrollTop = 0;
    byId("palette-none").hidden = options.length > 0;
    setText(byId("palette-none"), `Nothing is called "${input.value.trim().slice(0, 60)}"`);
    setText(byId("palette-count"), `${options.length} ${options.length === 1 ? "command" : "commands"}`);
    choose(0, true);
  }

  function choose(at, scroll) {
    if (options[active]) options[active].node.setAttribute("aria-selected", "false");
    active = Math.max(0, Math.min(options.length - 1, at));
    const input = byId("palette-input");
    if (!options.length) return input.removeAttribute("aria-activedescendant");
    const { node } = options[active];
    node.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", node.id);
    if (scroll) node.scrollIntoView({ block: "nearest", behavior: "instant" });
    if (scroll && active === 0) byId("palette-list").scrollTop = 0; // its heading too
    return undefined;
  }

  // Running

  function run(command) {
    remember(command.id);
    dialog.close();
    pyrometer.guard("command", () => command.run());
  }

  const press = (command) => (command.ask ? ask(command) : run(command));

  function ask(command) {
    const host = byId("palette-ask");
    const yes = element("button", "action danger btn btn-sm", command.ask.verb.slice(0, 60));
    const no = element("button", "action btn btn-sm btn-link", "Keep");
    yes.type = no.type = "button";
    yes.dataset.action = "confirm";
    no.dataset.action = "keep";
    yes.addEventListener("click", () => run(command));
    no.addEventListener("click", back);
    const text = element("p", "palette-question", command.ask.text);
    text.id = "palette-question";
    host.replaceChildren(text, element("div", "palette-answers", [no, yes]));
    dialog.dataset.asking = "";
    byId("palette-input").setAttribute("aria-expanded", "false");
    no.focus(); // Enter by mistake keeps what there is
  }

  function back() {
    delete dialog.dataset.asking;
    byId("palette-ask").replaceChildren();
    byId("palette-input").setAttribute("aria-expanded", "true");
    byId("palette-input").focus();
  }

  // The dialog

  function steer(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE };
    if (event.key in steps) {
      event.preventDefault();
      const to = active + steps[event.key];
      const around = Math.abs(steps[event.key]) === 1 ? (to + options.length) % (options.length || 1) : to;
      choose(around, true);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (options[active]) press(options[active].command);
    }
  }

  function inputNode() {
    const input = element("input", "palette-input");
    Object.assign(input, { id: "palette-input", type: "text", autocomplete: "off", spellcheck: false, maxLength: 200 });
    const given = {
      role: "combobox", placeholder: "Search pages, models, actions", "aria-label": "Search pages, models, actions",
      "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", autocapitalize: "off", enterkeyhint: "go",
    };
    for (const [name, value] of Object.entries(given)) input.setAttribute(name, value);
    input.addEventListener("input", draw);
    input.addEventListener("keydown", steer);
    return input;
  }

  function footNode() {
    const hints = [["↑↓", "choose"], ["Enter", "run"], ["Esc", "close"]].map(([key, words]) =>
      element("span", "palette-key", [element("kbd", "", key), ` ${words}`]));
    const count = element("span", "palette-count num");
    count.id = "palette-count";
    count.setAttribute("role", "status");
    return element("footer", "palette-foot", [...hints, count]);
  }

  function build() {
    const list = element("ul", "palette-list");
    list.id = "palette-list";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Commands");
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const none = element("p", "palette-none");
    none.id = "palette-none";
    const asked = element("div", "palette-ask");
    asked.id = "palette-ask";
    asked.setAttribute("role", "alertdialog");
    asked.setAttribute("aria-labelledby", "palette-question");
    dialog = element("dialog", "palette", [
      element("div", "palette-head", [element("span", "icon icon-search"), inputNode(), close]),
      list, none, asked, footNode(),
    ]);
    dialog.id = "palette";
    dialog.setAttribute("aria-label", "Command palette");
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => delete dialog.dataset.asking);
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !("asking" in dialog.dataset)) return;
      event.preventDefault();
      back();
    });
    document.body.append(dialog);
  }

  /* query: what is typed already; id: a command that is begun at once, as from a button. */
  function open({ query = "", id = "" } = {}) {
    if (!dialog) build();
    if (dialog.open || document.querySelector("dialog[open]")) return;
    commands = pyrometer.paletteCommands();
    const command = commands.find((one) => one.id === id);
    if (command && !command.ask) return command.run();
    byId("palette-ask").replaceChildren();
    byId("palette-input").value = query;
    dialog.showModal();
    byId("palette-input").setAttribute("aria-expanded", "true");
    byId("palette-input").focus();
    draw();
    if (command) ask(command);
  }

  function hotkey(event) {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (event.repeat) return;
    if (dialog && dialog.open) dialog.close();
    else open();
  }

  pyrometer.palette = { open };
  (pyrometer.starters = pyrometer.starters || []).push(() => document.addEventListener("keydown", hotkey));
})();
