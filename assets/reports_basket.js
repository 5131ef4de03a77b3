/* The report basket on the Reports page: order, captions, and one file of it.

   Captions are kept as they are typed, SAVE_MS after the last key. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, day } = pyrometer.format;
  const SAVE_MS = 400;
  const [MOST_CAPTION, MOST_TITLE] = [300, 120];
  const TITLE_KEY = "pyrometer-report-title";
  let addresses = [];
  let drawing = 0;

  function field(kind, most, label) {
    const node = element("input", "form-input");
    node.type = kind;
    node.autocomplete = "off";
    if (most) node.maxLength = most;
    if (label) node.setAttribute("aria-label", label);
    return node;
  }

  function button(words, label, press) {
    const node = element("button", "chip", words);
    node.type = "button";
    node.setAttribute("aria-label", label);
    node.addEventListener("click", press);
    return node;
  }

  function caption(entry) {
    const node = field("text", MOST_CAPTION, `Caption of ${entry.title}`);
    node.placeholder = "Caption";
    node.value = entry.caption || "";
    let timer = null;
    const keep = () => {
      clearTimeout(timer);
      timer = null;
      pyrometer.basket.update(entry.id, { caption: node.value });
    };
    node.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(keep, SAVE_MS);
    });
    node.addEventListener("change", keep);
    return node;
  }

  function item(entry, at, entries) {
    const image = element("img", "reports-picture");
    image.alt = "";
    image.src = URL.createObjectURL(entry.png);
    addresses.push(image.src);
    const title = element("div", "reports-picture-title", reports.short(entry.title, 200));
    title.title = reports.short(entry.title, 200);
    const about = element("div", "muted num", `${entry.range}; captured ${day(entry.captured)} ${clock(entry.captured)}`);
    const move = (words, by) => {
      const node = button(words, `Move ${entry.title} ${by < 0 ? "up" : "down"}`, async () => {
        const id = await pyrometer.basket.move(entry.id, by);
        await draw();
        follow(id, by);
      });
      node.disabled = !entries[at + by];
      node.dataset.by = by;
      return node;
    };
    const drop = button("Remove", `Remove ${entry.title}`, () => pyrometer.basket.remove(entry.id));
    drop.dataset.action = "remove";
    const node = element("li", "reports-entry", [
      element("span", "reports-place num", String(at + 1)),
      image,
      element("div", "reports-words", [title, about, caption(entry)]),
      element("div", "reports-moves", [move("Up", -1), move("Down", 1), drop]),
    ]);
    node.dataset.entry = entry.id;
    return node;
  }

  /* After a move the focus stays on the button that was pressed. */
  function follow(id, by) {
    const node = byId("reports-basket").querySelector(`[data-entry="${id}"]`);
    const pressed = node && (node.querySelector(`[data-by="${by}"]:not(:disabled)`) || node.querySelector("[data-by]:not(:disabled)"));
    if (pressed) pressed.focus();
  }

  const shapeOf = (entries) => JSON.stringify(entries.map((entry) => [entry.id, entry.title, entry.captured]));

  async function draw() {
    const turn = ++drawing;
    const entries = await pyrometer.basket.all();
    if (turn !== drawing) return;
    const list = byId("reports-basket");
    const none = byId("empty-reports-basket");
    none.hidden = entries.length > 0;
    setText(none, "Nothing yet. \"Add to report\" in the menu of any panel puts its picture here; it stays in this browser until it is removed.");
    setText(byId("readout-reports-basket"), entries.length ? `${entries.length} of at most ${pyrometer.basket.MOST}, kept in this browser` : "");
    for (const name of ["save", "print", "clear"]) byId(`reports-${name}`).disabled = !entries.length;
    byId("reports-basket-tools").hidden = !entries.length;
    if (list.shape === shapeOf(entries)) return; // a caption changed: its field has it already
    list.shape = shapeOf(entries);
    const within = list.contains(document.activeElement);
    const old = addresses;
    addresses = [];
    list.replaceChildren(...entries.map(item));
    old.forEach((address) => URL.revokeObjectURL(address));
    if (within) list.focus();
  }

  /* What goes into the file: its title, and the optimisation report where that is wanted. */
  async function options() {
    const title = byId("reports-title").value.trim();
    if (!byId("reports-whole").checked) return { title, report: "" };
    const response = await fetch(`${reports.PATH}/optimization?format=html&${pyrometer.time.query()}`, { signal: AbortSignal.timeout(reports.LIMIT_MS) });
    if (!response.ok) throw new Error(`the optimisation report could not be made: HTTP ${response.status}`);
    return { title, report: await response.text() };
  }

  function save() {
    const what = { key: "report file", doing: "Writing the report", done: "Saved the report", failed: "Save the report failed" };
    return pyrometer.actions.run(what, async () => {
      const { fileName, save: keep } = pyrometer.pictures;
      const file = await pyrometer.report.fileOf(await pyrometer.basket.all(), await options());
      return { text: keep(file, fileName("pictures", "html")) };
    });
  }

  function print() {
    const what = { key: "report print", doing: "Laying out the report", done: "Handed to the browser's print", failed: "Print failed" };
    return pyrometer.actions.run(what, async () => {
      await pyrometer.report.printOf(await pyrometer.basket.all(), await options());
      return { text: "Save as PDF is one of its destinations" };
    });
  }

  async function clear() {
    const host = byId("panel-reports-basket-head");
    if (host.classList.contains("confirming")) return;
    if (await pyrometer.actions.confirmInPlace(host, "div", "Remove every picture?", "Remove all")) await pyrometer.basket.clear();
  }

  function titleField() {
    const node = field("text", MOST_TITLE);
    node.id = "reports-title";
    node.placeholder = "Report";
    try {
      node.value = localStorage.getItem(TITLE_KEY) || "";
    } catch (refused) {
      // a browser that keeps nothing begins empty
    }
    node.addEventListener("change", () => {
      try {
        localStorage.setItem(TITLE_KEY, node.value);
      } catch (refused) {
        // kept for the visit
      }
    });
    return node;
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("reports-title-field").append(titleField());
    const whole = field("checkbox");
    whole.id = "reports-whole";
    byId("reports-whole-field").prepend(whole);
    byId("reports-save").addEventListener("click", save);
    byId("reports-print").addEventListener("click", print);
    byId("reports-clear").addEventListener("click", clear);
    pyrometer.basket.on(() => pyrometer.router.current() === "reports" && draw());
  });
  pyrometer.pages.add("reports", { enter: draw });
})();
