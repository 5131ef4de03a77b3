/* Before, warm and plan as bars on one logarithmic axis, a group for each model.

   Address: draw, the figure that is drawn. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, known } = pyrometer.format;
  const FORMS = ["before", "warm", "plan"];
  const FIGURES = ["cold_start_ms", "warm_p99_ms", "throughput_per_s"];
  let report = null;

  const chosen = () => (FIGURES.includes(pyrometer.url.get("draw")) ? pyrometer.url.get("draw") : FIGURES[0]);

  /* Powers of ten around the values. */
  function bounds(values) {
    const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
    const high = 10 ** Math.ceil(Math.log10(Math.max(...values) * 1.0001));
    return [low, high > low ? high : low * 10];
  }

  function bar(row, form, share) {
    const figure = row[form];
    const line = element("div", "reports-bar");
    const there = known(figure.value) && figure.value > 0;
    const fill = element("div", `reports-bar-fill reports-${form}`);
    fill.style.width = `${there ? Math.max(0.6, 100 * share(figure.value)).toFixed(2) : 0}%`;
    const words = there || figure.value === 0 ? reports.amount(figure, row.unit) : "no data";
    const said = element("span", "reports-bar-words num", `${words}`);
    said.prepend(element("span", "visually-hidden", `${form} `));
    line.append(fill, said);
    line.title = `${form}: ${reports.howOf(figure)}`;
    return line;
  }

  function gainWords(row) {
    if (!known(row.gain) && !known(row.gain_warm)) return "";
    const how = row.best === "low" ? "faster" : "more";
    const parts = [known(row.gain) && `${number(row.gain)}x ${how}`, known(row.gain_warm) && `${number(row.gain_warm)}x than warm`];
    return parts.filter(Boolean).join(", ");
  }

  function group(row, share) {
    const head = element("div", "reports-group-head", [
      element("span", "reports-group-name", reports.short(row.model, 60)),
      element("span", "reports-gain num", gainWords(row)),
    ]);
    head.firstChild.title = reports.short(row.model, 200);
    return element("div", "reports-group", [head, ...FORMS.map((form) => bar(row, form, share))]);
  }

  function axis(low, high, share, unit) {
    const line = element("div", "reports-axis num");
    line.setAttribute("aria-hidden", "true");
    for (let value = low; value <= high * 1.01; value *= 10) {
      const tick = element("span", "reports-tick", number(value).replace(/\.0+$/, ""));
      tick.style.left = `${(100 * share(value)).toFixed(2)}%`;
      line.append(tick);
    }
    setText(byId("readout-reports-bars"), `${unit === "req/s" ? "requests/s, more is better" : `${unit}, less is better`}; logarithmic`);
    return line;
  }

  function drawBars(fresh) {
    report = fresh || report;
    if (!report) return;
    const name = chosen();
    for (const figure of FIGURES) byId(`reports-draw-${figure}`).setAttribute("aria-pressed", String(figure === name));
    const rows = report.before_after.filter((row) => row.name === name);
    const values = rows.flatMap((row) => FORMS.map((form) => row[form].value)).filter((value) => known(value) && value > 0);
    const none = byId("empty-reports-bars");
    none.hidden = values.length > 0;
    byId("reports-bars").hidden = !values.length;
    if (!values.length) return setText(none, "Nothing was measured on this machine yet. Measure now, or: make optimization");
    const [low, high] = bounds(values);
    const share = (value) => Math.log10(value / low) / Math.log10(high / low);
    return byId("reports-bars").replaceChildren(...rows.map((row) => group(row, share)), axis(low, high, share, reports.short(rows[0].unit, 12)));
  }

  /* As data: every row of before and after. */
  function rows() {
    const columns = ["Model", "Figure", "Unit", "Before", "Warm", "Plan"];
    const line = (row) => [row.model, row.label, row.unit, ...FORMS.map((form) => row[form].value)];
    return { columns, rows: report ? report.before_after.map(line) : [] };
  }

  Object.assign(reports, { drawBars });
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    pyrometer.pictures.provide("panel-reports-bars", { rows });
    for (const figure of FIGURES) {
      byId(`reports-draw-${figure}`).addEventListener("click", () => pyrometer.url.set({ draw: figure === FIGURES[0] ? null : figure }));
    }
  });
  pyrometer.pages.add("reports", { enter: () => drawBars(), change: () => drawBars() });
})();
