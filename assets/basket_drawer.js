/* Put panels and pages into the report basket, look through it, take it away as one file. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element, setText } = pyrometer.dom;
  const CELL_WORDS = 200;

  // In

  async function dataOf(panel) {
    if (!pyrometer.pictures.hasCsv(panel)) return null;
    return pyrometer.pictures.rows(panel).catch(() => null); // a picture of an empty panel is one too
  }

  /* panel: a section, or null for the whole page. */
  function put(panel) {
    const whole = `${pyrometer.router.title()}, the whole page`;
    const { name, full } = panel ? pyrometer.pictures.titleOf(panel) : { name: whole, full: whole };
    const key = `report ${panel ? panel.id : "page"}`;
    const what = { key, doing: `Drawing ${name}`, done: `Added ${name} to the report`, failed: "Add to report failed" };
    return pyrometer.actions.run(what, async () => {
      const { blob, width, height } = await (panel ? pyrometer.pictures.panel(panel) : pyrometer.pictures.page());
      const entry = {
        panel: panel ? panel.id : "",
        page: pyrometer.router.current(),
        url: pyrometer.links.here({ panel: panel ? panel.id : "" }),
        title: full,
        caption: "",
        range: pyrometer.pictures.heading().range,
        captured: Date.now() / 1000,
        png: blob,
        width,
        height,
        data: panel ? await dataOf(panel) : null,
      };
      const count = await pyrometer.basket.add(entry);
      const follow = { words: "Open the report", press: () => open() };
      return { text: `${count} of at most ${pyrometer.basket.MOST} entries`, follow };
    });
  }

  // Out

  function download() {
    const what = { key: "report file", doing: "Writing the report", done: "Saved the report", failed: "Save the report failed" };
    return pyrometer.actions.run(what, async () => {
      const { fileName, save } = pyrometer.pictures;
      return { text: save(await pyrometer.report.fileOf(await pyrometer.basket.all()), fileName("report", "html")) };
    });
  }

  // The drawer

  function button(words, label, press, className = "chip") {
    const node = element("button", className, words);
    node.type = "button";
    if (label) node.setAttribute("aria-label", label);
    node.addEventListener("click", () => press(node));
    return node;
  }

  function thumbnail(entry, addresses) {
    const image = element("img", "basket-picture");
    image.alt = "";
    image.src = URL.createObjectURL(entry.png);
    addresses.push(image.src);
    return image;
  }

  function row(entry, at, entries, addresses, after) {
    const link = element("a", "basket-title", entry.title.slice(0, CELL_WORDS));
    link.href = entry.url.slice(entry.url.indexOf("/", 9));
    link.addEventListener("click", () => link.closest("dialog").close());
    const move = (words, by) => {
      const node = button(words, `Move ${entry.title} ${by < 0 ? "up" : "down"}`, async () => {
        after(await pyrometer.basket.move(entry.id, by), by);
      });
      node.disabled = !entries[at + by];
      node.dataset.by = by;
      return node;
    };
    const drop = button("Remove", `Remove ${entry.title}`, () => pyrometer.basket.remove(entry.id));
    const item = element("li", "basket-entry", [
      thumbnail(entry, addresses),
      element("div", "basket-words", [link, element("div", "muted num", entry.range)]),
      element("div", "basket-tools", [move("Up", -1), move("Down", 1), drop]),
    ]);
    item.dataset.entry = entry.id;
    return item;
  }

  function foot(list) {
    const save = button("Download as one HTML file", "", download, "action btn btn-sm btn-link");
    const more = button("Captions and print", "", (node) => {
      node.closest("dialog").close();
      pyrometer.router.go("/reports", {}, "#panel-reports-basket");
    }, "action btn btn-sm btn-link");
    more.dataset.always = "";
    const empty = button("Empty the report", "", async (node) => {
      if (await pyrometer.actions.confirmInPlace(node.parentElement, "div", "Remove every entry?", "Empty the report")) {
        await pyrometer.basket.clear();
        list.focus();
      }
    }, "action btn btn-sm btn-link");
    return [save, empty, more];
  }

  function open() {
    if (document.getElementById("basket")) return;
    const list = element("ol", "basket");
    list.tabIndex = -1;
    const note = element("p", "plan-empty", "");
    const buttons = foot(list);
    const addresses = [];
    const dialog = pyrometer.drawer("basket", "Report", [note, list], buttons);
    const free = () => addresses.splice(0).forEach((address) => URL.revokeObjectURL(address));

    /* After a move the focus stays on the button that was pressed. */
    const follow = (id, by) => {
      const item = list.querySelector(`[data-entry="${id}"]`);
      const pressed = item && (item.querySelector(`[data-by="${by}"]:not(:disabled)`) || item.querySelector("[data-by]:not(:disabled)"));
      if (pressed) pressed.focus();
    };

    async function draw() {
      const entries = await pyrometer.basket.all();
      if (!dialog.isConnected) return;
      const within = list.contains(document.activeElement);
      free();
      list.replaceChildren(...entries.map((entry, at) => row(entry, at, entries, addresses, follow)));
      const none = "Nothing yet. The menu of a panel adds it; what is added stays in this browser until it is removed.";
      setText(note, entries.length ? `${entries.length} of at most ${pyrometer.basket.MOST}, kept in this browser` : none);
      for (const one of buttons) one.disabled = !entries.length && !("always" in one.dataset);
      if (within) (list.querySelector("a") || list).focus();
    }

    const stop = pyrometer.basket.on(draw);
    dialog.addEventListener("close", () => {
      stop();
      free();
    });
    draw();
  }

  pyrometer.report = Object.assign(pyrometer.report || {}, { put, open });
})();
