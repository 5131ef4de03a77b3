/* The forest plot: each figure's ratio, candidate / control, as a point with its interval on one
   logarithmic axis, beside the line of 1. An SVG of the page's own; values stand at the right. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText } = pyrometer.dom;
  const { known } = pyrometer.format;
  const { cut, capital, list, part } = experiments.words;
  const SVG = "http://www.w3.org/2000/svg";
  const [GROUP, HEAD, FOOT] = [26, 22, 40];
  const ROW_PX = [[3, 42], [6, 34], [Infinity, 30]]; // up to so many rows
  const [LEAST, MOST] = [0.02, 50]; // beyond, an interval ends in an arrow
  const STEPS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];
  const FINE = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5];
  const FINEST = Array.from({ length: 41 }, (_, at) => Number((0.8 + at / 100).toFixed(2))).filter((value) => Math.round(value * 100) % 5 === 0 || (value > 0.9 && value < 1.1));

  function svg(tag, attributes = {}, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    if (text !== undefined) node.textContent = text;
    return node;
  }

  const fixed = (value) => (known(value) ? value.toFixed(value >= 9.95 ? 1 : 2) : "–");
  const bounded = (row) => known(row.ratio_low) && known(row.ratio_high);
  const words = (row) => (known(row.ratio) ? `${fixed(row.ratio)}${bounded(row) ? ` (${fixed(row.ratio_low)} to ${fixed(row.ratio_high)})` : ""}` : "no data");

  const grouped = (text) => text.replace(/\d{4,}/g, (digits) => Number(digits).toLocaleString("en-US"));

  // The axis

  function scaleOf(rows) {
    const values = rows.flatMap((row) => [row.ratio, row.ratio_low, row.ratio_high]).filter((value) => known(value) && value > 0);
    const low = Math.max(LEAST, Math.min(1 / 1.03, ...values));
    const high = Math.min(MOST, Math.max(1.03, ...values));
    const pad = 0.08 * Math.log(high / low);
    const [from, to] = [Math.log(low) - pad, Math.log(high) + pad];
    const at = (value) => (Math.log(value) - from) / (to - from);
    return { at, low: Math.exp(from), high: Math.exp(to) };
  }

  /* At most so many ticks, 1 among them. */
  function ticksOf({ low, high }, most) {
    const within = (steps) => steps.filter((value) => value >= low && value <= high);
    const sets = [FINEST, FINE, STEPS].map(within);
    const fits = sets.find((set) => set.length >= 3 && set.length <= most) || sets.find((set) => set.length && set.length <= most) || sets[2];
    const every = Math.ceil(fits.length / most);
    const one = Math.max(0, fits.indexOf(1));
    return fits.filter((_, place) => (place - one) % every === 0);
  }

  // The drawing

  function marker(row, x, y) {
    const kind = { slower: "slower", faster: "faster" }[row.verdict] || "none";
    const className = `experiments-point experiments-${kind}`;
    if (kind === "slower") return svg("path", { class: className, d: `M${x - 6} ${y + 5}h12l-6 -11z` });
    return svg("circle", { class: className, cx: x, cy: y, r: 5 });
  }

  function interval(row, y, px, scale) {
    if (!bounded(row) || row.ratio_low <= 0) return [];
    const [low, high] = [Math.max(row.ratio_low, scale.low), Math.min(row.ratio_high, scale.high)];
    if (low > scale.high || high < scale.low) return [];
    const kind = { slower: "slower", faster: "faster" }[row.verdict] || "none";
    const [a, b] = [px(low), px(high)];
    const ends = [[a, row.ratio_low < scale.low, -1], [b, row.ratio_high > scale.high, 1]].map(([x, cutOff, way]) =>
      svg("path", { class: `experiments-interval experiments-${kind}`, d: cutOff ? `M${x - 5 * way} ${y - 4}L${x} ${y}L${x - 5 * way} ${y + 4}` : `M${x} ${y - 4}v8` }));
    return [svg("line", { class: `experiments-interval experiments-${kind}`, x1: a, x2: b, y1: y, y2: y }), ...ends];
  }

  function axis(scale, px, top, bottom, width) {
    const nodes = ticksOf(scale, width < 500 ? 5 : 8).flatMap((value) => [
      svg("line", { class: value === 1 ? "experiments-one" : "experiments-grid", x1: px(value), x2: px(value), y1: top, y2: bottom }),
      svg("text", { x: px(value), y: bottom + 16, "text-anchor": "middle" }, `${value}`),
    ]);
    const near = (at) => Math.abs(px(at) - px(1));
    if (near(scale.low) > 66) nodes.push(svg("text", { x: px(1) - 8, y: top - 8, "text-anchor": "end" }, "faster"));
    if (near(scale.high) > 66) nodes.push(svg("text", { x: px(1) + 8, y: top - 8 }, "slower"));
    nodes.push(svg("text", { x: (px(scale.low) + px(scale.high)) / 2, y: bottom + 34, "text-anchor": "middle" }, "candidate / control, logarithmic"));
    return nodes;
  }

  function rowNodes(row, y, px, scale, layout) {
    const nodes = [...interval(row, y, px, scale)];
    if (known(row.ratio) && row.ratio >= scale.low && row.ratio <= scale.high) nodes.push(marker(row, px(row.ratio), y));
    nodes.push(
      svg("text", { class: "experiments-figure", x: 12, y: y + 4 }, row.figure),
      svg("text", { class: "experiments-value", x: layout.width - 12, y: y + 4, "text-anchor": "end" }, words(row)),
    );
    return nodes;
  }

  function build(groups, width) {
    const rows = groups.flatMap((group) => group.rows);
    const scale = scaleOf(rows);
    const small = width < 480;
    const layout = { width, left: small ? 44 : 64, right: width - (small ? 128 : 148) };
    const px = (value) => layout.left + (layout.right - layout.left) * scale.at(value);
    const titled = groups.length > 1;
    const [, rowPx] = ROW_PX.find(([most]) => rows.length <= most);
    const height = HEAD + rows.length * rowPx + (titled ? groups.length * GROUP : 0) + FOOT;
    const label = groups.map((group) => `${group.name}: ${group.rows.map((row) => `${row.figure} ${words(row)}, ${row.verdict}`).join("; ")}`).join(". ");
    const root = svg("svg", { class: "experiments-svg", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Ratios to control. ${label}` });
    root.append(...axis(scale, px, HEAD, height - FOOT, width));
    let y = HEAD;
    for (const group of groups) {
      if (titled) root.append(svg("text", { class: "experiments-group-name", x: 12, y: y + 18 }, group.name));
      if (titled) y += GROUP;
      for (const row of group.rows) {
        root.append(...rowNodes(row, y + rowPx / 2, px, scale, layout));
        y += rowPx;
      }
    }
    return root;
  }

  /* Words in the drawing's place. */
  function blank(host, text) {
    if (host.dataset.words === text && host.children.length === 1) return;
    host.dataset.words = text;
    host.dataset.key = "";
    host.replaceChildren(element("p", "experiments-blank", text));
  }

  const WHY = "Whoever looks early and stops at the first difference finds differences that are not there.";

  function whyNone(e, results) {
    if (e.state === "draft") return "Ratios will be drawn here once it has run.";
    if (results.computing) return "The figures are being computed.";
    return results.visible ? cut(results.method, 300) || "No figures yet." : `${grouped(cut(results.hidden_why, 200))}. ${WHY}`;
  }

  function draw(e) {
    const host = byId("experiments-forest");
    const results = part(e.results);
    const rows = list(results.comparisons).filter((row) => row && row.candidate);
    setText(byId("readout-experiments-forest"), rows.length ? "triangle: slower, filled: faster, hollow: neither" : "");
    if (!rows.length) {
      return blank(host, capital(whyNone(e, results)));
    }
    const width = Math.max(280, host.clientWidth);
    const key = JSON.stringify([rows, width]);
    if (host.dataset.key === key) return undefined;
    host.dataset.key = key;
    host.dataset.words = "";
    const names = [...new Set(rows.map((row) => row.candidate))];
    const groups = names.map((name) => ({ name: cut(name, 40), rows: rows.filter((row) => row.candidate === name) }));
    return host.replaceChildren(build(groups, width));
  }

  experiments.forest = { draw, words };
})();
