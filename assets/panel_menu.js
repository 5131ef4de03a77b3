/* The menu of a panel: its picture, its data, its address, and into the report.

   Every section.panel with a head has a button in it; one menu, at the end of the document so
   that no panel cuts it off, serves all. Arrow keys, Home, End and first letters move in it,
   Escape and Tab close it. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { plural } = pyrometer.format;
  const GAP = 4; // px between button and menu
  let menu = null;
  let opener = null;

  // What it does

  /* Draw or read the panel, save it as a file; one at a time of each kind and panel. */
  function saved(panel, ending, make) {
    const { name } = pyrometer.pictures.titleOf(panel);
    const kind = ending.toUpperCase();
    const what = { key: `${ending} ${panel.id}`, doing: `Drawing ${name}`, done: `Saved ${name} as ${kind}`, failed: `${kind} of ${name} failed` };
    return pyrometer.actions.run(what, async () => {
      const file = pyrometer.pictures.fileName(name, ending);
      const { blob, more } = await make(panel);
      return { text: pyrometer.pictures.save(blob, file) + (more ? `, ${more}` : "") };
    });
  }

  const png = (panel) => saved(panel, "png", async () => {
    const picture = await pyrometer.pictures.panel(panel);
    return { blob: picture.blob, more: pyrometer.pictures.sides(picture) };
  });
  const svg = (panel) => saved(panel, "svg", async () => ({ blob: await pyrometer.pictures.svg(panel) }));
  const csv = (panel) => saved(panel, "csv", async () => {
    const blob = await pyrometer.pictures.csv(panel);
    const lines = (await blob.text()).split("\n").length - 2;
    return { blob, more: plural(Math.max(0, lines), "row") };
  });

  const reportWords = () => {
    const count = pyrometer.basket.count();
    return `Report, ${count ? `${count} ${count === 1 ? "entry" : "entries"}` : "empty"}`;
  };

  /* [name, words, press] of what this panel offers; null is a line between. */
  function itemsOf(panel) {
    const { hasCsv, hasRows, hasSvg } = pyrometer.pictures;
    return [
      ["png", "PNG picture", () => png(panel)],
      hasSvg(panel) && ["svg", "SVG drawing", () => svg(panel)],
      hasCsv(panel) && ["csv", "CSV of what is shown", () => csv(panel)],
      hasRows(panel) && ["table", "View as table", (from) => pyrometer.panelTable.open(panel, from)],
      null,
      ["link", "Copy link", () => pyrometer.links.copyHere({ panel: panel.id })],
      ["report", "Add to report", () => pyrometer.report.put(panel)],
      ["basket", reportWords(), () => pyrometer.report.open()],
    ].filter((item) => item !== false);
  }

  // The menu

  function itemNode(item) {
    if (item === null) {
      const line = element("div", "panel-menu-line");
      line.setAttribute("role", "separator");
      return line;
    }
    const [name, words, press] = item;
    const node = element("button", "panel-menu-item", words);
    node.type = "button";
    node.tabIndex = -1;
    node.dataset.item = name;
    node.setAttribute("role", "menuitem");
    node.addEventListener("click", () => {
      const from = opener;
      close(true);
      press(from);
    });
    return node;
  }

  const items = () => [...menu.querySelectorAll("[role=menuitem]")];

  function place() {
    const box = opener.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    const below = box.bottom + GAP + height <= innerHeight;
    const top = below ? box.bottom + GAP : Math.max(8, box.top - GAP - height);
    menu.style.left = `${scrollX + Math.max(8, Math.min(innerWidth - width - 8, box.right - width))}px`;
    menu.style.top = `${scrollY + top}px`; // of the document, so that it scrolls along
  }

  function build() {
    menu = element("div", "panel-menu");
    menu.id = "panel-menu";
    menu.hidden = true;
    menu.setAttribute("role", "menu");
    menu.addEventListener("keydown", steer);
    menu.addEventListener("focusout", (event) => {
      if (event.relatedTarget && event.relatedTarget !== opener && !menu.contains(event.relatedTarget)) close(false);
    });
    document.addEventListener("pointerdown", (event) => {
      if (!menu.hidden && !menu.contains(event.target) && !(opener && opener.contains(event.target))) close(false);
    });
    addEventListener("resize", () => menu.hidden || close(false));
    document.body.append(menu);
  }

  function open(button) {
    if (!menu) build();
    close(false);
    opener = button;
    const panel = button.closest("section.panel");
    menu.replaceChildren(...itemsOf(panel).map(itemNode));
    menu.setAttribute("aria-label", `Menu of ${pyrometer.pictures.titleOf(panel).name}`);
    menu.hidden = false;
    button.setAttribute("aria-expanded", "true");
    place();
    items()[0].focus({ preventScroll: true });
  }

  function close(giveFocus) {
    if (!menu || menu.hidden) return;
    menu.hidden = true;
    opener.setAttribute("aria-expanded", "false");
    if (giveFocus && opener.isConnected) opener.focus({ preventScroll: true });
  }

  function steer(event) {
    const all = items();
    const at = all.indexOf(document.activeElement);
    const go = (to) => {
      event.preventDefault();
      all[(to + all.length) % all.length].focus();
    };
    if (event.key === "ArrowDown") return go(at + 1);
    if (event.key === "ArrowUp") return go(at - 1);
    if (event.key === "Home") return go(0);
    if (event.key === "End") return go(-1);
    if (event.key === "Tab") return close(true);
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      return close(true);
    }
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.key === " ") return undefined;
    const found = [...all.slice(at + 1), ...all.slice(0, at + 1)]
      .find((node) => node.textContent.toLowerCase().startsWith(event.key.toLowerCase()));
    return found && found.focus();
  }

  // Its buttons

  function mount() {
    for (const head of document.querySelectorAll("section.panel:not([data-menu]) > .panel-head")) {
      const panel = head.parentElement;
      panel.dataset.menu = "";
      const button = element("button", "panel-menu-button", element("span", "icon icon-more"));
      button.type = "button";
      button.title = "Picture, data, link, report";
      button.setAttribute("aria-label", `Menu of ${pyrometer.pictures.titleOf(panel).name}`);
      button.setAttribute("aria-haspopup", "menu");
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close(true) : open(button)));
      head.append(button);
    }
  }

  pyrometer.panelMenu = { png, svg, csv, mount };
  (pyrometer.drawers = pyrometer.drawers || []).push(mount);
  (pyrometer.starters = pyrometer.starters || []).push(mount);
})();
