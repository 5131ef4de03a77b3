/* PNG at twice the size, drawn in the browser: a whole page, or one panel.

   What is shown is cloned, unfolded and headed with title, time range and time of capture; clone
   and stylesheets go into an SVG's foreignObject, the SVG onto a canvas. Nothing leaves the
   browser. Canvases are copied as they are, scrolling tables up to MAX_ROWS rows, and what is
   open over the page is left out. `pose` puts the same clone in the page's place, for a browser
   that takes the picture itself. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element } = pyrometer.dom;
  const { plural } = pyrometer.format;
  const SCALE = 2;
  const MAX_SIDE_PX = 16000; // of a canvas, in the browsers in use
  const MAX_ROWS = 60;
  const XHTML = "http://www.w3.org/1999/xhtml";
  const LEFT_OUT = ".confirm, .visually-hidden, .tooltip, .panel-menu-button, dialog, script, iframe, [hidden]";

  /* Lengths by the window's size are written out: within the image its window is the image. */
  function stylesheets() {
    const texts = [];
    for (const sheet of document.styleSheets) {
      try {
        texts.push([...sheet.cssRules].map((rule) => rule.cssText).join("\n"));
      } catch (refused) {
        // a sheet of another origin cannot be read; the console has none
      }
    }
    const sides = { h: innerHeight, w: innerWidth };
    return texts.join("\n")
      .replace(/url\((?!["']?(?:data:|#))[^)]*\)/g, "none")
      .replace(/(-?[\d.]+)[dsl]?v([hw])\b/g, (_, share, side) => `${(Number(share) / 100) * sides[side]}px`);
  }

  // The clone

  /* A cloned canvas is blank: an image of its pixels takes its place. */
  function copyCanvas(from, to) {
    if (!from.width || !from.height || !from.offsetParent) return to.remove();
    const image = element("img", from.className);
    image.alt = "";
    const { width, height } = from.getBoundingClientRect();
    image.style.cssText = `${from.style.cssText};width:${width}px;height:${height}px`;
    try {
      image.src = from.toDataURL();
    } catch (refused) {
      return to.remove();
    }
    return to.replaceWith(image);
  }

  /* What is typed and chosen is no attribute, and only attributes are copied. */
  function copyControl(from, to) {
    if (from.tagName === "TEXTAREA") to.textContent = from.value;
    else if (from.tagName === "SELECT") {
      [...to.options].forEach((option, at) => option.toggleAttribute("selected", from.options[at].selected));
    } else if (["checkbox", "radio"].includes(from.type)) to.toggleAttribute("checked", from.checked);
    else to.setAttribute("value", from.value);
  }

  function shorten(clone) {
    for (const body of clone.querySelectorAll("tbody")) {
      const more = [...body.rows].slice(MAX_ROWS);
      if (!more.length) continue;
      for (const row of more) row.remove();
      body.closest("table").after(element("p", "export-more", `${plural(more.length, "more row")}: the panel's CSV has them`));
    }
  }

  function cloned(node) {
    const clone = node.cloneNode(true);
    const pairs = (selector) => {
      const copies = clone.querySelectorAll(selector);
      return [...node.querySelectorAll(selector)].map((from, at) => [from, copies[at]]);
    };
    for (const [from, to] of pairs("input, select, textarea")) copyControl(from, to);
    for (const [from, to] of pairs("canvas")) copyCanvas(from, to);
    for (const part of clone.querySelectorAll(LEFT_OUT)) part.remove();
    for (const part of clone.querySelectorAll(".confirming")) part.classList.remove("confirming");
    shorten(clone);
    return clone;
  }

  /* The parts under one another, laid out off the screen, as wide as the window: the image's
     media queries then choose what the window's did, and charts keep the width they were drawn
     for. */
  function shellOf(parts, width) {
    const shell = element("div", "console exporting", parts);
    for (const key of ["phase", "page", "rolling"]) shell.dataset[key] = byId("console").dataset[key] || "";
    shell.style.width = `${innerWidth}px`;
    for (const part of parts) part.style.width = `${width}px`;
    document.body.append(shell);
    const size = { width: innerWidth, height: shell.offsetHeight };
    shell.remove();
    shell.classList.add("placed");
    return { shell, size };
  }

  function pageShell() {
    const page = byId("page");
    const { title, range, captured, source } = pyrometer.pictures.heading();
    const head = element("header", "export-head", [
      element("div", "export-title", title),
      element("div", "export-health", byId("health-text").textContent),
      element("div", "muted num", `${range}; ${captured}; ${source.split(", ").pop()}`),
    ]);
    return shellOf([head, cloned(page)], page.offsetWidth);
  }

  function panelShell(panel) {
    const { range, captured, source } = pyrometer.pictures.heading();
    const foot = element("footer", "export-foot num", `${range}; ${captured}; ${source}`);
    const clone = cloned(panel);
    clone.className = "panel";
    clone.style.width = `${panel.offsetWidth}px`;
    const held = shellOf([element("div", "export-panel", [clone, foot])], panel.offsetWidth + 32);
    held.size.width = Math.ceil(panel.offsetWidth + 32);
    return held;
  }

  // The image

  function svgOf({ shell, size }) {
    const root = document.documentElement;
    const style = element("style", "", stylesheets());
    const body = document.createElementNS(XHTML, "body");
    body.append(style, shell);
    const content = new XMLSerializer().serializeToString(body);
    const attributes = `data-theme="${root.dataset.theme}" data-bs-theme="${root.dataset.theme}"`;
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${innerWidth}" height="${size.height}" ${attributes}>` +
      `<foreignObject x="0" y="0" width="100%" height="100%">${content}</foreignObject></svg>`
    );
  }

  async function imageOf(svg) {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    await image.decode();
    return image;
  }

  const background = () => getComputedStyle(document.body).backgroundColor;

  /* A filled canvas of this size at twice of it, and its pen, which draws in CSS pixels. */
  function sheet({ width, height }) {
    const scale = Math.min(SCALE, MAX_SIDE_PX / Math.max(width, height));
    const canvas = element("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = background();
    pen.fillRect(0, 0, width, height);
    return { canvas, pen };
  }

  function blobOf(canvas) {
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the image came out empty"))), "image/png");
    });
  }

  async function drawn(held) {
    const image = await imageOf(svgOf(held));
    const { canvas, pen } = sheet(held.size);
    pen.drawImage(image, 0, 0, innerWidth, held.size.height);
    return { blob: await blobOf(canvas), width: canvas.width, height: canvas.height };
  }

  /* A supplied drawing under the panel's title, over range and time of capture. */
  async function framed(panel, drawing) {
    const image = drawing instanceof Blob ? await createImageBitmap(drawing) : drawing;
    const [pad, line] = [16, 24];
    const [width, height] = [image.width / SCALE, image.height / SCALE];
    const { canvas, pen } = sheet({ width: Math.max(560, width) + 2 * pad, height: height + 2 * pad + 2 * line });
    const tokens = pyrometer.charts.theme().tokens;
    const font = getComputedStyle(document.body).fontFamily;
    const { range, captured, source } = pyrometer.pictures.heading();
    pen.textBaseline = "top";
    pen.fillStyle = tokens.ink;
    pen.font = `600 15px ${font}`;
    pen.fillText(pyrometer.pictures.titleOf(panel).full, pad, pad, width);
    pen.drawImage(image, pad, pad + line, width, height);
    pen.fillStyle = tokens["ink-2"];
    pen.font = `12px ${font}`;
    pen.fillText(`${range}; ${captured}; ${source}`, pad, pad + line + height + 8);
    return { blob: await blobOf(canvas), width: canvas.width, height: canvas.height };
  }

  function page() {
    pyrometer.charts.drawAll();
    return drawn(pageShell());
  }

  async function panelPicture(panel) {
    const { png } = pyrometer.pictures.provided(panel);
    if (png) return framed(panel, await png(SCALE));
    pyrometer.charts.drawAll();
    return drawn(panelShell(panel));
  }

  /* The page becomes its own picture, for good; resolves to its size in CSS pixels. */
  function pose() {
    pyrometer.charts.drawAll();
    const { shell, size } = pageShell();
    document.body.replaceChildren(shell);
    return size;
  }

  function exportPage() {
    const button = byId("export-png");
    const what = { key: "png page", doing: "Drawing the page", done: "Exported the page", failed: "Export PNG failed" };
    return pyrometer.actions.run(what, async () => {
      if (!pyrometer.state.answer) throw new Error("the server has not answered yet");
      const { fileName, save, sides } = pyrometer.pictures;
      const name = fileName("", "png");
      const picture = await page();
      return { text: `${save(picture.blob, name)}, ${sides(picture)}` };
    }, (seconds) => button.setAttribute("aria-disabled", String(seconds !== null)));
  }

  Object.assign(pyrometer.pictures, { page, panel: panelPicture, pose, exportPage });
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("export-png").addEventListener("click", exportPage);
  });
})();
