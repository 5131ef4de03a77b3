/* SVG of a panel: a Plotly figure, or a drawing that is an SVG already, under title and range.

   What lies over a chart as elements of the page (names of lines, ticks of events) is written
   into the SVG at the same places. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const SVG = "http://www.w3.org/2000/svg";
  const [PAD, HEAD, FOOT] = [16, 48, 24];
  const LEAST = { width: 100, height: 40 }; // smaller ones are marks, not drawings
  const PAINT = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "display", "visibility",
    "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "vector-effect",
  ];

  const tokens = () => pyrometer.charts.theme().tokens;

  function node(tag, attributes, content) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    if (content !== undefined) made.append(content);
    return made;
  }

  const words = (x, y, content, more = {}) => node("text", { x, y, fill: tokens()["ink-2"], "font-size": 12, ...more }, content);

  /* Parse an SVG's text; throws where it is none. */
  function parsed(text) {
    const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    if (root.localName !== "svg") throw new Error("the drawing is no SVG");
    return document.importNode(root, true);
  }

  // Drawings

  /* The largest SVG of the page's own in a panel, or null. */
  function ownDrawing(panel) {
    const area = (svg) => svg.clientWidth * svg.clientHeight;
    const large = [...panel.querySelectorAll("svg")].filter((svg) =>
      !svg.closest(".js-plotly-plot") && svg.clientWidth >= LEAST.width && svg.clientHeight >= LEAST.height);
    return large.sort((one, other) => area(other) - area(one))[0] || null;
  }

  function copyDrawing(svg) {
    const clone = svg.cloneNode(true);
    const copies = [clone, ...clone.querySelectorAll("*")];
    [svg, ...svg.querySelectorAll("*")].forEach((from, at) => {
      const style = getComputedStyle(from);
      for (const name of PAINT) copies[at].style.setProperty(name, style.getPropertyValue(name));
    });
    clone.setAttribute("width", svg.clientWidth);
    clone.setAttribute("height", svg.clientHeight);
    return clone;
  }

  function overlays(chart) {
    const { margin } = (chart.querySelector(".js-plotly-plot").layout.meta || {});
    const names = [...chart.querySelectorAll(".chart-label")].map((label) =>
      words(chart.clientWidth - 62, parseFloat(label.style.top) + 11, label.textContent, { fill: label.style.color }));
    const ticks = margin ? [...chart.querySelectorAll(".event-tick")].map((tick) => {
      const [x, y] = [parseFloat(tick.style.left), chart.clientHeight - 28];
      const failed = tick.dataset.kind === "failure";
      return node("path", { d: `M${x} ${y - 7}l4 7h-8z`, fill: failed ? tokens().critical : tokens()["ink-2"] });
    }) : [];
    const over = [...chart.querySelectorAll(".chart-over")].map((mark) =>
      words(parseFloat(mark.style.left), 11, mark.textContent, { fill: tokens()["ink-2"] }));
    return [...names, ...ticks, ...over];
  }

  async function plotDrawing(panel) {
    const gd = panel.querySelector(".js-plotly-plot");
    const { width, height } = gd._fullLayout;
    const address = await Plotly.toImage(gd, { format: "svg", width, height });
    const drawing = parsed(decodeURIComponent(address.slice(address.indexOf(",") + 1)));
    const chart = gd.closest(".chart");
    return group([drawing, ...(chart ? overlays(chart) : [])], width, height);
  }

  function group(parts, width, height) {
    const made = node("g", {});
    made.append(...parts);
    return { made, width, height };
  }

  async function drawingOf(panel) {
    const own = pyrometer.pictures.provided(panel);
    if (own.svg) {
      const drawing = parsed(await own.svg());
      const [width, height] = ["width", "height"].map((name) => parseFloat(drawing.getAttribute(name)) || 600);
      return group([drawing], width, height);
    }
    if (panel.querySelector(".js-plotly-plot")) return plotDrawing(panel);
    const drawing = ownDrawing(panel);
    if (!drawing) throw new Error("there is no drawing in this panel that can be SVG");
    return group([copyDrawing(drawing)], drawing.clientWidth, drawing.clientHeight);
  }

  // The whole

  function framed(panel, { made, width, height }) {
    const { range, captured, source } = pyrometer.pictures.heading();
    const [wide, tall] = [Math.max(560, width) + 2 * PAD, height + HEAD + FOOT + PAD];
    const ink = tokens();
    const root = node("svg", {
      width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, "font-family": getComputedStyle(document.body).fontFamily,
    });
    const title = pyrometer.pictures.titleOf(panel).full;
    made.setAttribute("transform", `translate(${PAD} ${HEAD})`);
    root.append(
      node("title", {}, title),
      node("rect", { width: wide, height: tall, fill: ink.surface }),
      words(PAD, 24, title, { fill: ink.ink, "font-size": 15, "font-weight": 600 }),
      words(PAD, 42, range),
      made,
      words(PAD, tall - 12, `${captured}; ${source}`),
    );
    return root;
  }

  async function svg(panel) {
    const root = framed(panel, await drawingOf(panel));
    return new Blob([new XMLSerializer().serializeToString(root)], { type: "image/svg+xml" });
  }

  const hasSvg = (panel) => Boolean(
    pyrometer.pictures.provided(panel).svg || panel.querySelector(".js-plotly-plot") || ownDrawing(panel));

  Object.assign(pyrometer.pictures, { svg, hasSvg });
})();
