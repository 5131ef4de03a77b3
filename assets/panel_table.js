/* A panel's data as an accessible table, in a drawer. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { clock, day, number, plural } = pyrometer.format;
  const MOST = 2000; // rows that are shown; the CSV has all
  const LONGEST = 300; // characters of a cell

  function cellOf(value, tag, withDay) {
    if (value instanceof Date) {
      const seconds = value.getTime() / 1000;
      const node = element("time", "", withDay ? `${day(seconds)} ${clock(seconds)}` : clock(seconds));
      node.dateTime = value.toISOString();
      return element(tag, "", node);
    }
    if (typeof value === "number") return element(tag, "text-end", number(value));
    const node = element(tag, "", value === null || value === undefined ? "–" : String(value).slice(0, LONGEST));
    if (node.textContent.length > 40) node.title = node.textContent;
    return node;
  }

  function heading(name, end) {
    const node = element("th", end ? "text-end" : "", name);
    node.scope = "col";
    return node;
  }

  function tableOf({ columns, rows }, title) {
    const numeric = columns.map((_, at) => rows.some((row) => typeof row[at] === "number"));
    const times = rows.map((row) => row[0]).filter((value) => value instanceof Date).map((value) => value.getTime() / 1000);
    const withDay = times.length > 0 && day(times[0]) !== day(times[times.length - 1]);
    const lines = rows.slice(0, MOST).map((row) => element("tr", "", columns.map((_, at) => {
      const node = cellOf(row[at], at === 0 ? "th" : "td", withDay);
      if (at === 0) node.scope = "row";
      else if (numeric[at]) node.className = "text-end";
      return node;
    })));
    return element("table", "data-table num", [
      element("caption", "visually-hidden", title),
      element("thead", "", element("tr", "", columns.map((name, at) => heading(name, numeric[at])))),
      element("tbody", "", lines),
    ]);
  }

  async function open(panel, from) {
    const title = pyrometer.pictures.titleOf(panel).full;
    let found;
    try {
      found = await pyrometer.pictures.rows(panel);
    } catch (failure) {
      pyrometer.toast("warning", `No table of ${title}`, failure.message);
      return;
    }
    const more = found.rows.length > MOST ? `; the first ${MOST} are shown, the CSV has all` : "";
    const about = `${pyrometer.pictures.heading().range}; ${plural(found.rows.length, "row")}${more}`;
    const scroll = element("div", "data-scroll", tableOf(found, title));
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", title);
    const csv = element("button", "action btn btn-sm btn-link", "Save as CSV");
    csv.type = "button";
    csv.addEventListener("click", () => pyrometer.panelMenu.csv(panel));
    pyrometer.drawer("panel-table", title, [element("p", "plan-facts num", about), scroll], [csv], from);
    scroll.focus();
  }

  pyrometer.panelTable = { open };
})();
