/* The drawing behind the Benchmarks page's charts: one SVG of one or more bands above a common
   x axis, direct labels, and a cursor by pointer or arrow keys whose words go to the panel's head.

   plot(host, {label, x, bands, stops, tell})
     x      a scale, with `title`
     bands  [{height, title, y: scale, draw({px, py, left, right, top, bottom}) -> nodes, labels}]
            labels: [{y, text, className}] of lines' ends, pushed apart
     stops  x values that the cursor stops at; tell(place | null) -> what the head says
   A scale: {at(value) -> 0..1, ticks: [[value, text]]}; linear(), logarithmic(), nines() make
   them. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element } = pyrometer.dom;
  const { known } = pyrometer.format;
  const SVG = "http://www.w3.org/2000/svg";
  const [LEFT, RIGHT, FOOT, HEAD, GAP] = [52, 16, 36, 20, 12];
  const NAMED = 74; // px at the right where lines are named there
  const LABEL_PX = 14;
  const CHARACTER_PX = 7;

  function svg(tag, attributes = {}, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Scales

  const compact = (value) => {
    const size = Math.abs(value);
    const [small, unit] = size >= 1e6 ? [value / 1e6, "M"] : size >= 1e4 ? [value / 1e3, "k"] : [value, ""];
    return `${Number(small.toPrecision(3)).toLocaleString("en-US")}${unit}`;
  };

  /* From zero to a round number above the highest. */
  function linear(highest, steps = 3) {
    const rough = Math.max(highest, 1e-9) / steps;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].find((times) => times * power >= rough * 0.999) * power;
    const high = step * Math.ceil(highest / step - 1e-9) || step;
    const ticks = Array.from({ length: Math.round(high / step) + 1 }, (_, at) => [at * step, compact(at * step)]);
    return { at: (value) => value / high, ticks };
  }

  /* Linear between two values, neither of them zero by need; seconds as they are. */
  function between(low, high, steps = 5) {
    const { ticks } = linear(Math.max(high - low, 1e-9), steps);
    const kept = ticks.filter(([value]) => low + value <= high * 1.0001).map(([value]) => [low + value, compact(low + value)]);
    return { at: (value) => (value - low) / Math.max(high - low, 1e-9), ticks: kept };
  }

  function logarithmic(low, high) {
    const span = Math.log(high / low) || 1;
    const decades = Math.log10(high / low);
    const steps = decades > 4 ? [1] : decades > 2 ? [1, 3] : decades > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const step of steps) {
        const value = Number((step * 10 ** power).toPrecision(3));
        if (value >= low * 0.999 && value <= high * 1.001) ticks.push([value, compact(value)]);
      }
    }
    return { at: (value) => Math.log(Math.max(value, low) / low) / span, ticks };
  }

  /* Shares by the number of nines: 0, 0.9, 0.99 equally far apart. */
  function nines(most) {
    const depth = Math.max(1, Math.ceil(Math.log10(Math.max(most, 10))));
    const names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    const ticks = names.slice(0, depth + 1).map((name, at) => [1 - 10 ** -at, name]);
    return { at: (share) => Math.min(1, -Math.log10(Math.max(1 - share, 10 ** -depth)) / depth), ticks };
  }

  // The drawing

  /* Points as a path, broken where a value is not known. */
  function path(points, className) {
    let drawing = "";
    let open = false;
    for (const [x, y] of points) {
      if (known(x) && known(y)) drawing += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      open = known(x) && known(y);
    }
    return svg("path", { class: `benchmarks-line ${className}`, d: drawing });
  }

  /* Places on a line, each at least `size` from the next and none past the last. */
  function apart(wanted, last, size) {
    const places = [];
    for (const at of wanted) places.push(Math.max(at, places.length ? places.at(-1) + size : at));
    let most = last;
    for (let turn = places.length - 1; turn >= 0; turn -= 1) {
      places[turn] = Math.min(places[turn], most);
      most = places[turn] - size;
    }
    return places;
  }

  function placed(labels, top, bottom) {
    const sorted = [...labels].sort((one, other) => one.y - other.y);
    const places = apart(sorted.map((label) => Math.max(top, label.y)), bottom, LABEL_PX);
    return sorted.map((label, turn) => ({ ...label, y: places[turn] }));
  }

  function bandNodes(band, frame, x, last) {
    const { left, right, top, bottom, px, py } = frame;
    const nodes = [];
    let above = Infinity; // where the number below ends: those of a logarithm crowd at its top
    for (const [value, text] of band.y ? band.y.ticks : []) {
      nodes.push(svg("line", { class: "benchmarks-grid", x1: left, x2: right, y1: py(value), y2: py(value) }));
      if (py(value) > above - LABEL_PX) continue;
      above = py(value);
      nodes.push(svg("text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, text));
    }
    if (band.title) nodes.push(svg("text", { class: "benchmarks-title", x: left, y: top - 8 }, band.title));
    let free = -Infinity; // where the next number may begin
    for (const [value, text] of x.ticks) {
      nodes.push(svg("line", { class: "benchmarks-tick", x1: px(value), x2: px(value), y1: bottom, y2: bottom + 4 }));
      const half = (text.length * CHARACTER_PX) / 2;
      if (!last || px(value) - half < free) continue;
      free = px(value) + half + 8;
      nodes.push(svg("text", { x: px(value), y: bottom + 17, "text-anchor": "middle" }, text));
    }
    nodes.push(svg("line", { class: "benchmarks-axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    if (last && x.title) nodes.push(svg("text", { class: "benchmarks-title", x: right, y: bottom + 32, "text-anchor": "end" }, x.title));
    nodes.push(...band.draw(frame));
    const labels = (band.labels || []).filter((label) => known(label.y)).map((label) => ({ ...label, y: py(label.y) + 4 }));
    for (const label of placed(labels, top + 4, bottom)) {
      nodes.push(svg("text", { class: `benchmarks-name ${label.className}`, x: right + 9, y: label.y }, label.text));
    }
    return nodes;
  }

  function build(spec, width) {
    const { x, bands } = spec;
    const named = bands.some((band) => band.labels && band.labels.length);
    const [left, right] = [LEFT, width - (named ? NAMED : RIGHT)];
    const px = (value) => left + (right - left) * x.at(value);
    const height = bands.reduce((sum, band) => sum + band.height + HEAD + GAP, 0) - GAP + FOOT;
    const root = svg("svg", { class: "benchmarks-svg", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spec.label });
    let top = HEAD;
    bands.forEach((band, turn) => {
      const bottom = top + band.height;
      const py = (value) => bottom - band.height * Math.max(0, Math.min(1.04, band.y.at(value)));
      root.append(...bandNodes(band, { left, right, top, bottom, px, py: band.y ? py : () => bottom }, x, turn === bands.length - 1));
      top = bottom + GAP + HEAD;
    });
    const cursor = svg("line", { class: "benchmarks-cursor", y1: HEAD, y2: height - FOOT, visibility: "hidden" });
    root.append(cursor);
    return { root, cursor, px, right };
  }

  // The cursor

  function explorable(node, spec, { cursor, px, right }) {
    const { stops, tell } = spec;
    let chosen = null;
    const choose = (place) => {
      chosen = place;
      if (place !== null) {
        cursor.setAttribute("x1", px(stops[place]));
        cursor.setAttribute("x2", px(stops[place]));
      }
      cursor.setAttribute("visibility", place === null ? "hidden" : "visible");
      tell(place);
    };
    node.onpointermove = (event) => {
      const at = event.clientX - node.getBoundingClientRect().left;
      if (!stops.length || at < LEFT - 8 || at > right + 8) return choose(null);
      let best = 0;
      stops.forEach((stop, place) => {
        if (Math.abs(px(stop) - at) < Math.abs(px(stops[best]) - at)) best = place;
      });
      return choose(best);
    };
    node.onpointerleave = node.onblur = () => choose(null);
    node.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step || !stops.length) return;
      event.preventDefault();
      const last = stops.length - 1;
      choose(chosen === null ? (step > 0 ? 0 : last) : Math.max(0, Math.min(last, chosen + step)));
    };
    tell(null);
  }

  function plot(host, spec) {
    const width = Math.max(280, host.clientWidth);
    const drawing = build(spec, width);
    const focused = host.contains(document.activeElement);
    const node = element("div", "benchmarks-drawing", drawing.root);
    if (spec.stops.length) {
      node.tabIndex = 0;
      node.setAttribute("role", "group");
      node.setAttribute("aria-label", `${spec.label}; the arrow keys go from point to point`);
    }
    host.replaceChildren(node);
    explorable(node, spec, drawing);
    if (focused) node.focus({ preventScroll: true });
  }

  /* Words in the place of a chart. */
  function blank(host, words) {
    const now = host.querySelector(".benchmarks-blank");
    if (now && now.textContent === words && host.children.length === 1) return;
    host.replaceChildren(element("p", "benchmarks-blank", words));
  }

  const readout = (name, words) => pyrometer.dom.setText(byId(`readout-benchmarks-${name}`), words);

  Object.assign(benchmarks, { plot, blank, readout, svg, path, apart, scales: { linear, between, logarithmic, nines, compact } });
})();
