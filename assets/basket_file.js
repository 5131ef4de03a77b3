/* The report basket as one HTML file that needs nothing else: pictures embedded, each with its
   title, caption, range and time of capture; by itself, or within the optimisation report.

   pyrometer.report.fileOf(entries, {title, report}) -> Blob
     report: the HTML of an optimisation report, whose PICTURES mark is replaced
   pyrometer.report.printOf(entries, options): in a tab of its own, to the browser's own print,
     which saves PDF too; within a few seconds of a click, or the browser refuses the tab */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const { clock, day, plural } = pyrometer.format;
  const OPENED_MS = 20000;
  const PICTURES = "<!-- pictures -->";
  const STYLE = `
    :root { color-scheme: light dark; --bg: #fffefc; --ink: #1f1c19; --ink-2: #57514a; --line: #dbd6cf; --accent-ink: #a8420a; }
    @media screen and (prefers-color-scheme: dark) { :root { --bg: #1b1a18; --ink: #edeae6; --ink-2: #b3ada6; --line: #34312e; --accent-ink: #ff9a63; } }
    body { max-width: 1080px; margin: 0 auto; padding: 40px 32px; background: var(--bg); color: var(--ink); font: 14px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
    h1 { margin: 0; font-size: 28px; line-height: 1.25; } h2 { margin: 40px 0 4px; font-size: 20px; } p { margin: 4px 0 12px; color: var(--ink-2); }
    figure { margin: 28px 0; } figcaption { margin-top: 6px; color: var(--ink-2); font-size: 13px; } figcaption b { color: var(--ink); }
    a { color: var(--accent-ink); }
    figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); }
    table { border-collapse: collapse; font-size: 12px; font-variant-numeric: tabular-nums; }
    th, td { padding: 2px 12px 2px 0; border-bottom: 1px solid var(--line); text-align: left; }
    details { margin-top: 6px; } .data { overflow-x: auto; }
    @page { size: A4; margin: 16mm 15mm; }
    @media (max-width: 640px) { body { padding: 20px 14px; } h1 { font-size: 22px; } }
    @media print { body { max-width: none; padding: 0; background: none; } figure { break-inside: avoid; } figure img { max-height: 235mm; } details { display: none; } a { color: inherit; text-decoration: none; } }`;

  const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

  const dataUrl = (blob) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

  const cellText = (value) => (value instanceof Date ? value.toISOString().replace(".000Z", "Z") : value ?? "");

  function tableText({ columns, rows }) {
    const line = (cells, tag) => `<tr>${cells.map((cell) => `<${tag}>${escaped(cellText(cell))}</${tag}>`).join("")}</tr>`;
    const body = rows.map((row) => line(row, "td")).join("\n");
    return `<details><summary>Data, ${plural(rows.length, "row")}</summary><div class="data"><table><thead>${line(columns, "th")}</thead><tbody>${body}</tbody></table></div></details>`;
  }

  /* http addresses only: an entry is what a browser kept, and may be anything. */
  const safeLink = (url) => (/^https?:\/\//.test(url) ? `; <a href="${escaped(url)}">open in the console</a>` : "");

  async function figureText(entry, number) {
    const about = `${entry.range}; captured ${day(entry.captured)} ${clock(entry.captured)}`;
    const caption = entry.caption ? `<br>${escaped(entry.caption)}` : "";
    return `<figure id="picture-${number}"><img alt="${escaped(entry.title)}" width="${Math.round(entry.width / 2)}" src="${await dataUrl(entry.png)}">
<figcaption><b>${number}. ${escaped(entry.title)}</b>${caption}<br>${escaped(about)}${safeLink(entry.url)}</figcaption>
${entry.data ? tableText(entry.data) : ""}</figure>`;
  }

  async function fileOf(entries, { title = "", report = "" } = {}) {
    const now = Date.now() / 1000;
    const { source, range } = pyrometer.pictures.heading();
    const named = title || `Report of ${source}`;
    const figures = (await Promise.all(entries.map((entry, at) => figureText(entry, at + 1)))).join("\n");
    const about = `${source}; ${day(now)} ${clock(now)}; ${plural(entries.length, "picture")}; the console showed ${range}`;
    if (report.includes(PICTURES)) {
      const part = `<h2 id="pictures">${escaped(named)}</h2><p class="note">${escaped(about)}</p>\n${figures}`;
      return new Blob([report.replace(PICTURES, () => part)], { type: "text/html" });
    }
    const text = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(named)}</title><style>${STYLE}</style></head>
<body><header><h1>${escaped(named)}</h1><p>${escaped(about)}</p></header><main>
${figures}
</main></body></html>
`;
    return new Blob([text], { type: "text/html" });
  }

  /* The file in a tab, so that what is printed is the file alone. */
  async function printOf(entries, options) {
    const address = URL.createObjectURL(await fileOf(entries, options));
    const tab = window.open(address);
    if (!tab) {
      URL.revokeObjectURL(address);
      throw new Error("the browser refused a new tab; allow it for this page, or save the file and print that");
    }
    const until = performance.now() + OPENED_MS;
    const opened = () => tab.closed || (tab.location.href === address && tab.document.readyState === "complete");
    while (!opened() && performance.now() < until) await new Promise((next) => setTimeout(next, 50));
    if (tab.closed) return;
    await Promise.all([...tab.document.images].map((image) => image.decode().catch(() => null)));
    URL.revokeObjectURL(address);
    tab.focus();
    tab.print();
  }

  pyrometer.report = Object.assign(pyrometer.report || {}, { fileOf, printOf });
})();
