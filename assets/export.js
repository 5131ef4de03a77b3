/* Export PNG: the whole page at twice its size, drawn in the browser.

   The page is cloned, unfolded and headed with title, time range and time of capture; clone
   and stylesheets go into an SVG's foreignObject, the SVG onto a canvas. Nothing leaves the
   browser. Scrolling tables are exported in full. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element } = pyrometer.dom;
  const { clock, day, two } = pyrometer.format;
  const SCALE = 2;
  const MAX_SIDE_PX = 16000; // of a canvas, in the browsers in use
  const XHTML = "http://www.w3.org/1999/xhtml";

  function stylesheets() {
    const texts = [];
    for (const sheet of document.styleSheets) {
      try {
        texts.push([...sheet.cssRules].map((rule) => rule.cssText).join("\n"));
      } catch (refused) {
        // a sheet of another origin cannot be read; the console has none
      }
    }
    return texts.join("\n").replace(/url\("?(?!data:|#)[^)]*\)/g, "none");
  }

  function stamp() {
    const state = pyrometer.state;
    const [from, to] = pyrometer.charts.range().map(pyrometer.charts.fromAxis);
    const now = Date.now() / 1000;
    const title = `${byId("console").dataset.title} live, ${location.host}`;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
    const range = `${day(from)} ${clock(from)} to ${clock(to)}`;
    const lines = [
      element("div", "export-title", title),
      element("div", "export-health", byId("health-text").textContent),
      element("div", "muted num", `${range} (${zone}); captured ${day(now)} ${clock(now)}; version ${state.answer.version}`),
    ];
    return element("header", "export-head", lines);
  }

  /* A copy of the page laid out off the screen, as wide as the window: the image's media
     queries then choose what the window's did, and charts keep the width they were drawn for. */
  function copy() {
    const page = byId("page");
    const shell = element("div", "console exporting");
    shell.dataset.phase = byId("console").dataset.phase;
    shell.style.width = `${innerWidth}px`;
    const clone = page.cloneNode(true);
    const head = stamp();
    for (const part of [head, clone]) part.style.width = `${page.offsetWidth}px`;
    for (const node of clone.querySelectorAll(".confirm, .visually-hidden, .tooltip, script")) node.remove();
    for (const node of clone.querySelectorAll(".confirming")) node.classList.remove("confirming");
    for (const node of clone.querySelectorAll("[hidden]")) node.remove();
    shell.append(head, clone);
    document.body.append(shell);
    const size = { width: shell.offsetWidth, height: shell.offsetHeight };
    shell.remove();
    shell.classList.add("placed");
    return { shell, size };
  }

  function svgOf({ shell, size }) {
    const root = document.documentElement;
    const style = element("style", "", stylesheets());
    const body = document.createElementNS(XHTML, "body");
    body.append(style, shell);
    const content = new XMLSerializer().serializeToString(body);
    const attributes = `data-theme="${root.dataset.theme}" data-bs-theme="${root.dataset.theme}"`;
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" ${attributes}>` +
      `<foreignObject x="0" y="0" width="100%" height="100%">${content}</foreignObject></svg>`
    );
  }

  async function rendered(svg, size) {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    const scale = Math.min(SCALE, MAX_SIDE_PX / Math.max(size.width, size.height));
    const canvas = element("canvas");
    canvas.width = Math.round(size.width * scale);
    canvas.height = Math.round(size.height * scale);
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the image came out empty"))), "image/png");
    });
  }

  function fileName() {
    const at = new Date();
    const date = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
    return `pyrometer-live-${date}-${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}.png`;
  }

  function download(blob, name) {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  async function exportPng() {
    const button = byId("export-png");
    if (button.getAttribute("aria-disabled") === "true" || !pyrometer.state.answer) return;
    button.setAttribute("aria-disabled", "true");
    try {
      pyrometer.charts.drawAll();
      const page = copy();
      const name = fileName();
      download(await rendered(svgOf(page), page.size), name);
      pyrometer.toast("ok", "Exported the page", name);
    } catch (failure) {
      pyrometer.toast("critical", "Export PNG failed", failure.message || String(failure));
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("export-png").addEventListener("click", exportPng);
  });
})();
