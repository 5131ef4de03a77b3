/* The table of functions beside the chart: shares of each, sorted; a row opens its callers and
   callees. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { count, known } = pyrometer.format;
  const MOST = 200; // rows drawn
  const LABEL_MAX = 300;
  const HERE = "The functions that ran will be listed here";
  const SORTS = {
    name: (one, other) => one.frame.name.localeCompare(other.frame.name),
    self: (one, other) => other.self - one.self,
    total: (one, other) => other.total - one.total,
    grown: (one, other) => (other.grown || 0) - (one.grown || 0),
  };

  const part = (value, whole) => (whole > 0 && known(value) ? value / whole : 0);

  /* [{frame, self, total, grown}]: shares; grown is of the own share, null without a comparison. */
  function functions(answer) {
    const whole = answer.sampled[answer.measure];
    const before = flame.model.isCompared(answer) ? answer.against.sampled[answer.measure] : null;
    return (answer.top || []).map((row) => ({
      frame: answer.frames[row.frame],
      self: part(row.self, whole),
      total: part(row.total, whole),
      grown: before === null ? null : part(row.self, whole) - part(row.against_self, before),
      grownTotal: before === null ? null : part(row.total, whole) - part(row.against_total, before),
    })).filter((row) => row.frame);
  }

  function sorted(rows, sort) {
    const reversed = sort.startsWith("-");
    const order = SORTS[sort.replace("-", "")] || SORTS.self;
    const found = [...rows].sort((one, other) => order(one, other) || other.self - one.self);
    return reversed ? found.reverse() : found;
  }

  const cell = (name, words) => element("td", `col-${name}${name === "name" ? "" : " text-end num"}`, words);
  const share = (value) => (100 * value).toFixed(1);

  function row(one, focused) {
    const label = String(one.frame.label);
    const button = element("button", "flame-function", [
      element("span", "flame-name", String(one.frame.name).slice(0, LABEL_MAX)),
      element("span", "flame-module", String(one.frame.module || one.frame.file || "").slice(0, LABEL_MAX)),
    ]);
    button.type = "button";
    button.title = `${label.slice(0, LABEL_MAX)}: callers and callees`;
    const line = element("tr", "", [
      cell("name", button), cell("self", share(one.self)), cell("total", share(one.total)),
    ]);
    const grown = one.grown === null ? "" : flame.words.points(one.grown).replace(" points", "");
    const points = cell("grown", grown);
    if (one.grown !== null) points.title = `self ${flame.words.points(one.grown)}, total ${flame.words.points(one.grownTotal)}`;
    line.append(points);
    line.dataset.label = label.slice(0, LABEL_MAX);
    line.querySelector(".col-self").style.setProperty("--share", `${Math.min(100, 100 * one.self).toFixed(1)}%`);
    if (label === focused) line.setAttribute("aria-current", "true");
    line.addEventListener("click", () => flame.page.open(label));
    return line;
  }

  function draw(answer, params) {
    const sort = params.sort || "self";
    const { test } = params.q ? flame.model.matcher(params.q) : { test: () => true };
    const all = functions(answer);
    const rows = sorted(all.filter((one) => test(String(one.frame.label))), sort);
    const body = byId("flame-top-body");
    body.replaceChildren(...rows.slice(0, MOST).map((one) => row(one, params.focus)));
    byId("flame-top-table").dataset.compared = String(flame.model.isCompared(answer));
    for (const heading of document.querySelectorAll("#flame-top-table th")) {
      const key = heading.querySelector("button").dataset.sort;
      const on = sort.replace("-", "") === key;
      const falling = key === "name" ? sort.startsWith("-") : !sort.startsWith("-");
      heading.setAttribute("aria-sort", on ? (falling ? "descending" : "ascending") : "none");
    }
    const shown = Math.min(MOST, rows.length);
    setText(byId("readout-flame-top"), shown === all.length ? count(all.length) : `${count(shown)} of ${count(all.length)}`);
    blank(params.q ? "No function matches the search" : HERE, rows.length === 0);
  }

  function blank(words, shown) {
    const note = byId("empty-flame-top");
    setText(note, words);
    note.hidden = !shown;
  }

  function wire() {
    for (const button of document.querySelectorAll("#flame-top-table .flame-sort")) {
      button.addEventListener("click", () => {
        const { sort } = button.dataset;
        const now = pyrometer.url.get("sort") || "self";
        const next = now === sort ? `-${sort}` : sort;
        pyrometer.url.set({ sort: next === "self" ? null : next });
      });
    }
  }

  function clear() {
    byId("flame-top-body").replaceChildren();
    setText(byId("readout-flame-top"), "");
    blank(HERE, true);
  }

  flame.top = { wire, draw, clear };
})();
