/* The figures of the range as CSV: what GET /performance/export/csv has, cut to the range. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { plural } = pyrometer.format;
  const LIMIT_MS = 120000;

  /* The header and the lines of [from, to], UTC seconds; lines begin with their time. */
  function cut(text, from, to) {
    const [header, ...lines] = text.trimEnd().split("\n");
    const inside = lines.filter((line) => {
      const at = Date.parse(line.slice(0, line.indexOf(","))) / 1000;
      return at >= from - 1 && at <= to;
    });
    return { text: `${[header, ...inside].join("\n")}\n`, rows: inside.length };
  }

  async function fetchRange() {
    const { from, to } = pyrometer.time.range();
    const seconds = Math.max(1, Math.ceil(pyrometer.latest() - from) + 1);
    const response = await fetch(`/performance/export/csv?window=${seconds}s`, { signal: AbortSignal.timeout(LIMIT_MS) });
    if (!response.ok) {
      const answer = await response.json().catch(() => null);
      throw new Error((answer && answer.error) || `HTTP ${response.status}`);
    }
    return cut(await response.text(), from, to);
  }

  function exportCsv() {
    const words = pyrometer.time.words();
    const what = { key: "csv", doing: "Exporting the figures", done: `Exported the figures, ${words}`, failed: "Export CSV failed" };
    return pyrometer.actions.run(what, async () => {
      const { text, rows } = await fetchRange();
      const { fileName, save } = pyrometer.pictures;
      const saved = save(new Blob([text], { type: "text/csv" }), fileName("figures", "csv"));
      return { text: `${plural(rows, "row")}; ${saved}` };
    });
  }

  /* The page by the server's own browser, where it has one; format: "png" | "pdf". */
  function serverPicture(format) {
    const params = new URLSearchParams({
      page: `${pyrometer.base.strip(location.pathname)}${location.search}`,
      format,
      width: String(Math.max(900, Math.min(2400, innerWidth))),
      theme: document.documentElement.dataset.theme === "light" ? "light" : "dark",
    });
    const name = format.toUpperCase();
    const what = { key: `server ${format}`, doing: `The server draws the page as ${name}`, done: `Saved the page as ${name}`, failed: `${name} by the server failed` };
    return pyrometer.actions.run(what, async () => {
      const response = await fetch(`/performance/picture?${params}`, { signal: AbortSignal.timeout(60000) });
      if (!response.ok) {
        const answer = await response.json().catch(() => null);
        throw new Error((answer && answer.error) || `HTTP ${response.status}`);
      }
      const { fileName, save } = pyrometer.pictures;
      return { text: save(await response.blob(), fileName("", format)) };
    });
  }

  Object.assign(pyrometer.actions, { exportCsv, serverPicture });
})();
