/* The data that a panel shows, as {columns, rows, note}, and as CSV.

   Found, in this order: what the page supplies (pyrometer.pictures.provide), the series of a
   time chart in the range, the phases, the traces of any other Plotly figure, the rows of a
   table, a list of rows, a list of facts. Cells are texts, numbers, Dates (a moment) or null. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { known } = pyrometer.format;
  const moment = (seconds) => new Date(seconds * 1000);
  const number = (value) => (known(value) ? value : null);
  const inUnit = (name, unit) => (unit ? `${name}, ${unit}` : name);

  // Time charts

  /* [{name, of(row)}] of what a chart draws from one source. */
  function seriesOf(chart, source) {
    const { unit, extras = [] } = chart.gd.layout.meta || {};
    if (chart.gd.data[0].type === "heatmap") {
      return source.columns.map((column, at) => ({ core: /^core_(\d+)_percent$/.exec(column), at }))
        .filter(({ core }) => core)
        .map(({ core, at }) => ({ name: inUnit(`core ${core[1]}`, unit), at }));
    }
    const lines = chart.gd.data.filter((trace) => !trace.meta.area && !trace.meta.previous)
      .map((trace) => ({ name: inUnit(trace.name, unit), at: source.columns.indexOf(trace.meta.column) }));
    const read = extras.map((extra) => ({ name: inUnit(extra.label, extra.unit), at: source.columns.indexOf(extra.column) }));
    return [...lines, ...read];
  }

  function ofTimeChart(chart) {
    const source = pyrometer.charts.sourceOf(chart);
    const { from, to } = pyrometer.time.range();
    const series = seriesOf(chart, source);
    const rows = source.rows
      .filter((row) => row[0] >= from && row[0] <= to)
      .map((row) => [moment(row[0]), ...series.map(({ at }) => (at > 0 ? number(row[at]) : null))])
      .filter((row) => row.slice(1).some((value) => value !== null));
    return { columns: ["Time", ...series.map(({ name }) => name)], rows, note: pyrometer.time.words() };
  }

  function ofPhases() {
    const phases = (pyrometer.state.answer && pyrometer.state.answer.phases) || { ids: [] };
    const own = phases.ids.length ? pyrometer.phases.ownTimes(phases) : [];
    const parents = new Map(phases.ids.map((id, at) => [id, phases.parents[at]]));
    const depth = (id) => (parents.get(id) ? 1 + depth(parents.get(id)) : 0);
    const rows = phases.ids.map((id, at) => [
      phases.labels[at], depth(id), number(phases.values[at]), number(own[at]), number(phases.counts[at]),
    ]);
    return { columns: ["Phase", "Depth", "Total, ms", "Own, ms", "Requests"], rows, note: "last minute" };
  }

  /* Any other Plotly figure: a row for each point of each trace. */
  function ofPlot(gd) {
    const rows = [];
    (gd._fullData || gd.data).forEach((trace, at) => {
      const name = trace.name || `series ${at + 1}`;
      if (trace.type === "heatmap") {
        (trace.z || []).forEach((line, y) => Array.from(line).forEach((z, x) => rows.push([name, trace.x[x], trace.y[y], number(z)])));
      } else if (trace.labels) {
        trace.labels.forEach((label, place) => rows.push([name, label, trace.parents ? trace.parents[place] : null, number((trace.values || [])[place])]));
      } else {
        Array.from(trace.x || trace.y || []).forEach((_, place) => rows.push([name, (trace.x || [])[place] ?? place, (trace.y || [])[place] ?? null]));
      }
    });
    const wide = rows.some((row) => row.length > 3);
    return { columns: wide ? ["Series", "x", "y", "Value"] : ["Series", "x", "y"], rows, note: "" };
  }

  // Tables and lists

  /* A moment's full day where the cell has it in its title. */
  const textOf = (node) => {
    if (node.tagName === "TIME" && node.title) return node.title;
    return node.innerText.replace(/\s*\n\s*/g, "; ").trim();
  };

  function ofTable(table) {
    const heads = [...table.querySelectorAll("thead th")].map((th) => th.textContent.trim());
    const kept = heads.map((_, at) => at).filter((at) => heads[at] && heads[at] !== "Action");
    const rows = [...table.querySelectorAll("tbody tr")]
      .filter((row) => row.offsetParent !== null && !row.querySelector(".confirm") && row.cells.length >= heads.length)
      .map((row) => kept.map((at) => textOf(row.cells[at])));
    return { columns: kept.map((at) => heads[at]), rows, note: "" };
  }

  function ofList(list) {
    const rows = [...list.children].map((item) => [...item.children].map(textOf));
    const width = Math.max(0, ...rows.map((row) => row.length));
    const names = width === 3 ? ["Time", "Kind", "Text"] : Array.from({ length: width }, (_, at) => `Column ${at + 1}`);
    return { columns: names, rows, note: "" };
  }

  function ofFacts(list) {
    const rows = [...list.querySelectorAll("dt")].map((term) => [textOf(term), textOf(term.nextElementSibling || term)]);
    return { columns: ["Name", "Value"], rows, note: "" };
  }

  const isChart = (panel) => Boolean(panel.querySelector("[data-chart], [data-phases], .js-plotly-plot"));

  /* How a panel's data is found; null where it has none. */
  function reader(panel) {
    const own = pyrometer.pictures.provided(panel);
    if (own.rows) return own.rows;
    const chart = panel.querySelector("[data-chart]");
    const held = chart && pyrometer.charts.all.get(chart.dataset.chart);
    if (held) return () => ofTimeChart(held);
    if (panel.querySelector("[data-phases]")) return ofPhases;
    const gd = panel.querySelector(".js-plotly-plot");
    if (gd) return () => ofPlot(gd);
    const table = [...panel.querySelectorAll("table")].find((one) => one.querySelector("thead th") && one.offsetParent !== null);
    if (table) return () => ofTable(table);
    const list = panel.querySelector("ul[data-rows]");
    if (list) return () => ofList(list);
    const facts = [...panel.querySelectorAll("dl")].find((one) => one.offsetParent !== null);
    return facts ? () => ofFacts(facts) : null;
  }

  async function rows(panel) {
    const read = reader(panel);
    if (!read) throw new Error("there is no data in this panel");
    const found = await read();
    if (!found || !found.rows.length) throw new Error(`there is nothing to export: no figures in ${pyrometer.time.words()}`);
    return found;
  }

  // CSV, as RFC 4180 has it; texts that a spreadsheet would run as formulas stay texts

  function cellText(value) {
    if (value === null || value === undefined) return "";
    if (value instanceof Date) return value.toISOString().replace(".000Z", "Z");
    if (typeof value === "number") return String(value);
    const text = String(value);
    const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  }

  function csvOf({ columns, rows: lines }) {
    const names = columns.map((name, at) => (lines[0][at] instanceof Date ? `${name}, UTC` : name));
    return [names, ...lines].map((line) => line.map(cellText).join(",")).join("\n") + "\n";
  }

  async function csv(panel) {
    const own = pyrometer.pictures.provided(panel);
    const text = own.csv ? await own.csv() : csvOf(await rows(panel));
    return new Blob([text], { type: "text/csv" });
  }

  const hasCsv = (panel) => Boolean(pyrometer.pictures.provided(panel).csv || reader(panel));
  const hasRows = (panel) => Boolean(pyrometer.pictures.provided(panel).rows) || (isChart(panel) && Boolean(reader(panel)));

  Object.assign(pyrometer.pictures, { rows, csv, csvOf, hasCsv, hasRows });
})();
