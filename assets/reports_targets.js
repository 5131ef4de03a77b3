/* Targets of the Reports page: one row each, met, missed or without data, and why. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const STATUS = { met: "ok", missed: "critical", "no data": "unknown" };

  function make(row) {
    const { cell, twoLines } = pyrometer.tables;
    const node = element("tr");
    const mark = element("span", "mark");
    mark.setAttribute("aria-hidden", "true");
    node.append(
      cell("label", twoLines()),
      cell("limit", "", "wanted"),
      cell("value", "", "measured", true),
      cell("live", "", "in the range", true),
      cell("status", element("span", "state", [mark, element("span", "state-word")])),
    );
    node.dataset.target = row.id;
    return node;
  }

  /* Of which model the figure is, or why there is none. */
  const second = (row) => (row.status === "no data" ? row.why : row.subject ? `worst: ${row.subject}` : row.group) || "";

  function fill(node, row) {
    const { titled } = pyrometer.tables;
    const [label, more] = node.querySelectorAll(".col-label > div");
    titled(label, reports.short(row.label, 120));
    titled(more, reports.short(second(row), 200));
    titled(node.querySelector(".col-limit"), reports.short(row.target, 60));
    const [value, live] = [node.querySelector(".col-value"), node.querySelector(".col-live")];
    setText(value, reports.amount(row.figure, row.unit));
    value.title = reports.howOf(row.figure);
    setText(live, row.live ? reports.amount(row.live) : "");
    live.title = row.live ? reports.howOf(row.live) : "";
    setStatus(node.querySelector(".mark"), STATUS[row.status]);
    setText(node.querySelector(".state-word"), row.status);
    node.dataset.status = row.status;
  }

  function drawTargets(report) {
    pyrometer.tables.rows(byId("reports-targets-body"), report.targets, (row) => row.id, make, fill);
    const { met, missed, no_data: none } = report.summary;
    const parts = [`${met} met`, missed && `${missed} missed`, none && `${none} without data`].filter(Boolean);
    setText(byId("readout-reports-targets"), parts.join(", "));
    byId("empty-reports-targets").hidden = report.targets.length > 0;
  }

  Object.assign(reports, { drawTargets });
})();
