/* Stored reports: look at one, take it away in any form, delete it after asking. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText } = pyrometer.dom;
  const { bytes } = pyrometer.format;
  const FORMATS = [["html", "HTML"], ["md", "Markdown"], ["json", "JSON"], ["pdf", "PDF"]];
  const BY = { demand: "on demand", schedule: "daily", cli: "command line" };

  function link(words, href, label, file) {
    const node = element("a", "chip reports-file", words);
    node.href = href;
    node.setAttribute("aria-label", label);
    if (file) node.download = file;
    else node.target = "_blank";
    return node;
  }

  function make(stored) {
    const { cell, twoLines, button } = pyrometer.tables;
    const address = `${reports.PATH}/${encodeURIComponent(stored.id)}`;
    const name = reports.when(stored.made);
    const files = FORMATS.map(([format, words]) =>
      link(words, `${address}?format=${format}&download=1`, `${words} of the report of ${name}`, `pyrometer-report-${reports.short(stored.id, 40)}.${format}`));
    const view = link("View", `${address}?format=html`, `View the report of ${name}`);
    const drop = button("Delete", `Delete the report of ${name}`, () => remove(row, stored));
    drop.dataset.action = "delete";
    const row = element("tr", "", [
      cell("made", twoLines()), cell("text", twoLines()), cell("by", "", "by"),
      cell("files", element("div", "reports-files-row", [view, ...files])), cell("action", drop, "", true),
    ]);
    row.dataset.report = stored.id;
    return row;
  }

  function fill(row, stored) {
    const { titled } = pyrometer.tables;
    const [made, size] = row.querySelectorAll(".col-made > div");
    setText(made, reports.when(stored.made));
    setText(size, `${bytes(stored.bytes)}, version ${reports.short(stored.version, 20)}`);
    const [text, window_] = row.querySelectorAll(".col-text > div");
    titled(text, reports.short(stored.text));
    titled(window_, reports.short(stored.window ? `window ${stored.window}` : "without a window", 120));
    setText(row.querySelector(".col-by"), BY[stored.by] || reports.short(stored.by, 20));
  }

  async function remove(row, stored) {
    if (row.classList.contains("confirming")) return;
    const question = `Delete the report of ${reports.when(stored.made)}?`;
    if (!(await pyrometer.actions.confirmInPlace(row, "td", question, "Delete"))) return;
    const what = { key: `report delete ${stored.id}`, doing: "Deleting the report", done: "Deleted the report", failed: "Delete failed" };
    await pyrometer.actions.run(what, async () => {
      const answer = await pyrometer.post(`${reports.PATH}/delete`, { id: stored.id }, reports.LIMIT_MS);
      return { text: reports.short(answer.text) };
    });
    await reports.list();
    byId("reports-stored-table").focus();
  }

  function drawStored(overview) {
    pyrometer.tables.rows(byId("reports-stored-body"), overview.reports, (one) => one.id, make, fill);
    const none = byId("empty-reports-stored");
    none.hidden = overview.reports.length > 0;
    setText(none, "No report is stored. Store this report keeps the one above; report_at makes one each day.");
    const { at, next } = overview.schedule;
    const daily = at ? `daily at ${reports.short(at, 5)} UTC, next ${reports.when(next)}` : "no daily report: report_at is empty";
    setText(byId("readout-reports-stored"), `${overview.reports.length} of at most ${overview.limit}; ${daily}`);
  }

  Object.assign(reports, { drawStored });
})();
