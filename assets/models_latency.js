/* How long one model's answers took in the range that is shown, as a histogram on a log scale
   with its percentiles; beside it batch sizes, the queue now, and what was not answered. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, count, percent, known, plural } = pyrometer.format;
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 284;
  const MARGIN = { left: 44, right: 12, top: 34, bottom: 26 };
  const LABEL_PX = 76;
  const PERCENTILES = [["p50_ms", "p50"], ["p95_ms", "p95"], ["p99_ms", "p99"]];
  const OUTCOMES = {
    client_error: "wrong requests, 4xx", shed: "turned away, the queue was full, 429",
    cancelled: "given up by their callers, 499", expired: "past their own deadline, 504",
    server_error: "failed, 5xx",
  };
  let drawnKey = "";
  let chosen = null; // the bar that is pointed at, by its place
  let watched = null;

  function svg(tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  /* 1-2-5 steps between two bounds, fewer where that would crowd. */
  function ticks(low, high) {
    const decades = Math.log10(high / low);
    const steps = decades > 3 ? [1] : decades > 1.6 ? [1, 3] : [1, 2, 3, 5, 7];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found;
  }

  const short = (ms) => String(Number(ms.toPrecision(3)));

  function words(answer) {
    const at = PERCENTILES.filter(([key]) => known(answer[key])).map(([key, name]) => `${name} ${number(answer[key])} ms`);
    return `${plural(answer.requests, "request")}, ${at.join(", ")}`;
  }

  /* Where labels begin: at their line, but never over each other nor past the edge. */
  function labelPlaces(lines, right) {
    const places = [];
    for (const at of lines) places.push(Math.max(at + 4, places.length ? places[places.length - 1] + LABEL_PX : 0));
    let most = right - LABEL_PX;
    for (let turn = places.length - 1; turn >= 0; turn -= 1) {
      places[turn] = Math.min(places[turn], most);
      most = places[turn] - LABEL_PX;
    }
    return places;
  }

  function percentileLines(answer, x, width) {
    const seen = PERCENTILES.filter(([key]) => known(answer[key]));
    const lines = seen.map(([key]) => x(answer[key]));
    const places = labelPlaces(lines, width - MARGIN.right);
    return seen.map(([key, name], turn) => {
      const group = svg("g", { class: `latency-line latency-${name}` });
      group.append(
        svg("line", { x1: lines[turn], x2: lines[turn], y1: MARGIN.top - 4, y2: HEIGHT - MARGIN.bottom }),
        svg("line", { x1: lines[turn], x2: places[turn] - 2, y1: MARGIN.top - 4, y2: MARGIN.top - 10 }),
        svg("text", { x: places[turn], y: MARGIN.top - 12 }, `${name} ${number(answer[key])}`),
      );
      return group;
    });
  }

  function histogram(answer, width) {
    const { bounds_ms: bounds, counts } = answer;
    const [low, high] = [bounds[0], bounds[bounds.length - 1]];
    const inner = width - MARGIN.left - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const step = niceStep(Math.max(...counts));
    const most = step * Math.ceil(Math.max(...counts) / step);
    const x = (ms) => MARGIN.left + (inner * Math.log(ms / low)) / Math.log(high / low);
    const y = (many) => bottom - ((bottom - MARGIN.top) * many) / most;
    const root = svg("svg", { class: "latency-svg", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `Histogram of durations: ${words(answer)}` });
    for (let many = step; many <= most; many += step) {
      root.append(
        svg("line", { class: "latency-grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(many), y2: y(many) }),
        svg("text", { x: MARGIN.left - 6, y: y(many) + 4, "text-anchor": "end" }, compact(many)),
      );
    }
    for (const ms of ticks(low, high)) {
      root.append(
        svg("line", { class: "latency-tick", x1: x(ms), x2: x(ms), y1: bottom, y2: bottom + 4 }),
        svg("text", { x: x(ms), y: bottom + 17, "text-anchor": "middle" }, short(ms)),
      );
    }
    root.append(svg("line", { class: "latency-axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }));
    counts.forEach((many, place) => {
      const [from, to] = [x(bounds[place]), x(bounds[place + 1])];
      const top = many ? Math.min(y(many), bottom - 1) : bottom;
      root.append(svg("rect", { class: "latency-bar", x: from + 0.5, width: Math.max(1, to - from - 1), y: top, height: bottom - top }));
      const hit = svg("rect", { class: "latency-hit", x: from, width: to - from, y: MARGIN.top, height: bottom - MARGIN.top });
      hit.dataset.place = String(place);
      root.append(hit);
    });
    root.append(...percentileLines(answer, x, width));
    return root;
  }

  const compact = (many) => (many >= 10000 ? `${count(many / 1000)}k` : count(many));

  /* A step of 1, 2 or 5 times a power of ten, two to four of which hold the highest bar. */
  function niceStep(highest) {
    const rough = Math.max(1, highest / 3);
    const power = 10 ** Math.floor(Math.log10(rough));
    return Math.max(1, [1, 2, 5, 10].find((times) => times * power >= rough) * power);
  }

  function readout(answer, place) {
    const node = byId("readout-model-latency");
    if (place === null) return setText(node, `${pyrometer.time.words()}: ${plural(answer.requests, "request")}`);
    const { bounds_ms: bounds, counts } = answer;
    const share = percent((100 * counts[place]) / Math.max(1, answer.requests));
    return setText(node, `${short(bounds[place])} to ${short(bounds[place + 1])} ms: ${plural(counts[place], "request")}, ${share} %`);
  }

  /* The pointer or the arrow keys choose a bar; the head tells it exactly. */
  function explorable(host, answer) {
    const choose = (place) => {
      chosen = place;
      for (const bar of host.querySelectorAll(".latency-hit")) bar.classList.toggle("chosen", Number(bar.dataset.place) === place);
      readout(answer, place);
    };
    host.onpointermove = (event) => {
      const { place } = event.target.dataset;
      choose(place === undefined ? null : Number(place));
    };
    host.onpointerleave = () => choose(null);
    host.onblur = () => choose(null);
    host.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const last = answer.counts.length - 1;
      choose(chosen === null ? (step > 0 ? 0 : last) : Math.max(0, Math.min(last, chosen + step)));
    };
    choose(chosen !== null && chosen < answer.counts.length ? chosen : null);
  }

  function drawHistogram(host, answer) {
    if (!answer.requests || !answer.counts.length) {
      host.replaceChildren(element("p", "model-words model-blank", `No requests to this model in the ${pyrometer.time.words()}. Try it below: its durations will appear here.`));
      setText(byId("readout-model-latency"), "");
      return;
    }
    const width = Math.max(260, host.clientWidth);
    const plot = element("div", "latency-plot", histogram(answer, width));
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", "Latency distribution; the arrow keys go from bar to bar");
    const focused = host.contains(document.activeElement);
    const pointed = chosen;
    host.replaceChildren(plot, element("p", "visually-hidden", words(answer)));
    chosen = pointed; // a plot that is taken away loses the focus, and forgets
    explorable(plot, answer);
    if (focused) plot.focus({ preventScroll: true });
  }

  // Batches, queue, errors

  function sizeWords(limits, place) {
    const limit = limits[place];
    if (limit === null) return `over ${count(limits[place - 1])} rows`;
    const from = place ? limits[place - 1] + 1 : 1;
    return from === limit ? `${limit} ${limit === 1 ? "row" : "rows"}` : `${from} to ${count(limit)} rows`;
  }

  function batchBars(batches) {
    const total = batches.counts.reduce((sum, many) => sum + many, 0);
    const bars = batches.counts.map((many, place) => [many, place]).filter(([many]) => many > 0).map(([many, place]) => {
      const fill = element("span", "batch-fill");
      fill.style.width = `${(100 * many) / total}%`;
      return element("li", "batch-row", [
        element("span", "batch-size num", sizeWords(batches.limits, place)),
        element("span", "batch-track", fill),
        element("span", "batch-many num", count(many)),
        element("span", "batch-share num", `${percent((100 * many) / total)} %`),
      ]);
    });
    if (!bars.length) return element("p", "model-words", "No run in this range: caches answered, or nobody asked.");
    return element("ol", "batch-list", bars);
  }

  models.placementWords = ({ where, state, reason, problem }) => {
    const states = { healthy: "Runs on Ray", failed: "Runs here, Ray could not take it", away: "Runs here while its replicas are away" };
    const head = where === "ray" ? states[state] || "Runs here" : "Runs here, not on Ray";
    return `${head}: ${reason}${problem ? ` (${problem})` : ""}.`;
  };

  function policyWords(runs, row) {
    if (!known(runs.quick_rows)) return "Where its requests run is decided when it is loaded.";
    if (runs.placement && runs.placement.where === "ray") return models.placementWords(runs.placement);
    const quick = runs.quick_rows > 0 ? `Requests of up to ${count(runs.quick_rows)} rows run at once, without a queue.` : "Every request waits for a CPU slot.";
    const joined = runs.batch_max_rows > 1
      ? `Those that wait are joined to runs of up to ${count(runs.batch_max_rows)} rows, waiting ${number(runs.batch_max_wait_us / 1000)} ms at most.`
      : "Those that wait are not joined: their rows would cost no less together.";
    return `${quick} ${joined}${row && row.encoder ? ` Rows are encoded by ${row.encoder} first.` : ""}`;
  }

  function outcomes(answer, name) {
    const bad = Object.entries(OUTCOMES).filter(([key]) => answer.outcomes[key] > 0);
    if (!answer.requests) return [element("p", "model-words", `No requests in the ${pyrometer.time.words()}.`)];
    if (!bad.length) return [element("p", "model-words", `All ${plural(answer.requests, "request")} of the ${pyrometer.time.words()} answered.`)];
    const link = element("a", "model-link", "See those that were kept");
    link.href = `/requests?${new URLSearchParams({ model: name, outcome: "failed" })}`;
    const lines = bad.map(([key, told]) => {
      const mark = element("span", "mark");
      mark.dataset.status = key === "server_error" ? "critical" : "warning";
      return element("li", "", [mark, element("b", "num", count(answer.outcomes[key])), ` ${told}`]);
    });
    return [element("ul", "outcome-list", lines), link];
  }

  const fact = (name, value, key) => {
    const given = element("dd", "num", value);
    if (key) given.dataset.now = key;
    return [element("dt", "", name), given];
  };

  function drawTraffic(host, one) {
    const { latency: answer, about } = one;
    const runs = about ? about.runs : {};
    host.replaceChildren(
      element("h3", "model-sub", "Rows a run"),
      batchBars(answer.batches),
      element("h3", "model-sub", "Queue now"),
      element("dl", "model-facts", [
        ...fact("Waiting", "–", "queued"), ...fact("Running", "–", "running"),
        ...fact("Cache hits", known(answer.hit_percent) ? `${percent(answer.hit_percent)} % in this range` : "not asked in this range"),
        ...fact("Cold starts", count(answer.cold_starts)),
      ]),
      element("p", "model-words", policyWords(runs, one.row)),
      element("h3", "model-sub", "Not answered"),
      ...outcomes(answer, one.name),
    );
    tick(one);
  }

  /* What the live snapshot tells each second. */
  function tick(one) {
    const row = one.row;
    const limit = one.about ? ` of ${count(one.about.runs.queue_limit)}` : "";
    for (const node of byId("model-traffic").querySelectorAll("[data-now]")) {
      const value = row ? row[node.dataset.now] : null;
      setText(node, known(value) ? `${count(value)}${node.dataset.now === "queued" ? limit : ""}` : "–");
    }
  }

  function draw(one) {
    const [host, traffic] = [byId("model-latency"), byId("model-traffic")];
    if (!one.latency) {
      if (one.problems.latency) for (const place of [host, traffic]) models.retry(place, `The figures could not be read: ${one.problems.latency}`);
      return;
    }
    const { window: _, ...told } = one.latency;
    const key = JSON.stringify([told, host.clientWidth, pyrometer.time.words(), Boolean(one.about)]);
    if (key === drawnKey) return;
    drawnKey = key;
    host.dataset.problem = traffic.dataset.problem = "";
    drawHistogram(host, one.latency);
    drawTraffic(traffic, one);
    setText(byId("readout-model-traffic"), one.latency.problem || pyrometer.time.words());
  }

  function clear() {
    drawnKey = "";
    chosen = null;
    for (const name of ["latency", "traffic"]) {
      byId(`model-${name}`).replaceChildren(element("p", "model-words", "Asking for the figures"));
      setText(byId(`readout-model-${name}`), "");
    }
    if (watched) return;
    watched = new ResizeObserver(() => models.detail.current() && draw(models.detail.current()));
    watched.observe(byId("model-latency"));
  }

  (models.parts = models.parts || []).push({ draw, clear, tick });
})();
