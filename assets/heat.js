/* Latency as a heat map: GET /performance/metrics/heatmap for the range shown, drawn on a canvas.

   Time across, duration up in equal ratios, brighter where more requests were; the scale of
   brightness is logarithmic, so that a few slow requests are seen beside many fast ones. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, setText, element } = pyrometer.dom;
  const { clock, day, number, plural } = pyrometer.format;
  const LIMIT_MS = 10000;
  const REFRESH_MS = 10000;
  const MARGIN = { l: 48, r: 64, t: 8, b: 36 };
  const STEPS_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

  let answer = null;
  let problem = "";
  let askedAt = -Infinity;
  let askedFor = "";
  let busy = false;
  let marked = null; // [step, band] under the pointer or the arrow keys
  let drawn = null; // the grid in pixels

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  async function ask() {
    const query = pyrometer.time.query();
    busy = true;
    askedAt = performance.now();
    askedFor = query;
    try {
      const response = await fetch(`/performance/metrics/heatmap?${query}`, {
        signal: AbortSignal.timeout(LIMIT_MS),
      });
      const body = await response.json();
      if (!response.ok) throw new Error(body.error || `HTTP ${response.status}`);
      [answer, problem] = [body, ""];
    } catch (failure) {
      problem = failure.name === "TimeoutError" ? "no answer" : failure.message;
    } finally {
      busy = false;
    }
    if (askedFor !== pyrometer.time.query()) askedAt = -Infinity;
    draw();
  }

  function due() {
    if (busy) return false;
    const range = pyrometer.time.range();
    const age = performance.now() - askedAt;
    return askedFor !== pyrometer.time.query() || (range.rolling && pyrometer.time.live() > 0 && age > REFRESH_MS);
  }

  /* The heat scale at 0 to 1, between its seven colours. */
  function colours() {
    const scale = JSON.parse(byId("heat-chart").dataset.heat).map((text) =>
      [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
    return (share) => {
      const place = Math.min(0.9999, Math.max(0, share)) * (scale.length - 1);
      const at = Math.floor(place);
      const mixed = scale[at].map((low, index) => Math.round(low + (scale[at + 1][index] - low) * (place - at)));
      return `rgb(${mixed.join(",")})`;
    };
  }

  function sized(canvas) {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    return { pen, width: box.width, height: box.height };
  }

  function cells(pen, area, { counts }) {
    const most = Math.log1p(Math.max(...counts.map((step) => Math.max(...step))));
    const colour = colours();
    counts.forEach((step, x) => step.forEach((value, y) => {
      if (!value) return;
      pen.fillStyle = colour(most ? 0.12 + 0.88 * (Math.log1p(value) / most) : 1);
      const left = area.left + x * area.step;
      const top = area.top + area.height - (y + 1) * area.band;
      pen.fillRect(left, top, Math.max(1, area.step - (area.step > 4 ? 0.5 : 0)), Math.max(1, area.band - 0.5));
    }));
  }

  /* 1, 10, 100 and so on between two bounds; with 3, 30, 300 where those are few. */
  function roundValues(low, high) {
    const steps = Math.log10(high / low) > 3 ? [1] : [1, 3];
    const powers = Array.from({ length: 16 }, (_, at) => at - 6);
    return powers.flatMap((power) => steps.map((step) => Number(`${step}e${power}`))).filter((value) => value >= low && value <= high);
  }

  const roundStep = (leastS) => STEPS_S.find((step) => step >= leastS) || Math.ceil(leastS / 86400) * 86400;

  function axes(pen, area, { times, bounds_ms: bounds, step_s: stepS }) {
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.fillStyle = token("ink-2");
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const [low, high] = [bounds[0], bounds[bounds.length - 1]];
    for (const value of roundValues(low, high)) {
      const share = Math.log(value / low) / Math.log(high / low);
      pen.fillText(value.toLocaleString("en-US"), area.left - 6, area.top + area.height * (1 - share));
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const end = times[0] + times.length * stepS;
    const every = roundStep((end - times[0]) / Math.max(2, Math.floor(area.width / 90)));
    const zone = -60 * new Date(1000 * end).getTimezoneOffset(); // whole hours and days are the browser's
    for (let at = Math.ceil((times[0] + zone) / every) * every - zone; at < end; at += every) {
      const words = every >= 86400 ? day(at).slice(5) : clock(at).slice(0, every >= 60 ? 5 : 8);
      pen.fillText(words, area.left + ((at - times[0]) / stepS) * area.step, area.top + area.height + 8);
    }
  }

  function mark(pen, area) {
    if (!marked) return;
    pen.strokeStyle = token("accent");
    pen.lineWidth = 1.5;
    const [step, band] = marked;
    pen.strokeRect(area.left + step * area.step, area.top + area.height - (band + 1) * area.band, area.step, area.band);
  }

  /* In words for the read-out: the marked cell, or how many there are. */
  function words() {
    const readout = byId("readout-heat");
    const parts = [];
    if (marked) {
      const [step, band] = marked;
      const [low, high] = [answer.bounds_ms[band], answer.bounds_ms[band + 1]];
      parts.push(
        element("span", "", `${clock(answer.times[step])}, ${number(low)} to ${number(high)} ms`),
        element("b", "", plural(answer.counts[step][band], "request")),
      );
    } else if (answer && answer.counts.length) {
      parts.push(element("span", "", plural(total(answer), "request")));
    }
    readout.replaceChildren(...parts);
  }

  const total = ({ counts }) => counts.reduce((sum, step) => sum + step.reduce((a, b) => a + b, 0), 0);

  function summary() {
    const sums = answer.bounds_ms.slice(1).map((_, band) => answer.counts.reduce((sum, step) => sum + step[band], 0));
    const most = sums.indexOf(Math.max(...sums));
    return `${plural(total(answer), "request")}; most took ${number(answer.bounds_ms[most])} to `
      + `${number(answer.bounds_ms[most + 1])} ms; the longest up to ${number(answer.bounds_ms[answer.bounds_ms.length - 1])} ms.`;
  }

  /* Where the cells lie, px. */
  function areaOf(width, height) {
    const area = { left: MARGIN.l, top: MARGIN.t, width: width - MARGIN.l - MARGIN.r, height: height - MARGIN.t - MARGIN.b };
    area.step = area.width / answer.times.length;
    area.band = area.height / (answer.bounds_ms.length - 1);
    return area;
  }

  /* The text of an SVG of what is on the screen. */
  function svg() {
    if (!drawn) throw new Error("nothing is drawn yet");
    const { width, height } = byId("heat-canvas").getBoundingClientRect();
    const pen = pyrometer.svgPen(width, height);
    cells(pen, drawn, answer);
    axes(pen, drawn, answer);
    return pen.text();
  }

  function draw() {
    const canvas = byId("heat-canvas");
    if (!canvas || pyrometer.router.current() !== "live") return;
    const blank = !answer || !answer.counts.length;
    const note = byId("empty-heat");
    setText(note, blank ? (problem ? `The heat map is not there: ${problem}. Trying again.` : answer ? "No requests in this range" : "Loading") : "");
    if (note.hidden === blank) note.hidden = !blank;
    const { pen, width, height } = sized(canvas);
    if (blank) {
      marked = null;
      drawn = null;
      words();
      return;
    }
    const area = areaOf(width, height);
    if (marked && (marked[0] >= answer.times.length || marked[1] >= answer.bounds_ms.length - 1)) marked = null;
    cells(pen, area, answer);
    axes(pen, area, answer);
    mark(pen, area);
    drawn = area;
    words();
    setText(byId("heat-summary"), summary());
  }

  function point(event) {
    if (!drawn) return;
    const box = byId("heat-canvas").getBoundingClientRect();
    const step = Math.floor((event.clientX - box.left - drawn.left) / drawn.step);
    const band = Math.floor((drawn.top + drawn.height - (event.clientY - box.top)) / drawn.band);
    const inside = step >= 0 && step < answer.times.length && band >= 0 && band < answer.bounds_ms.length - 1;
    marked = inside ? [step, band] : null;
    draw();
  }

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  function key(event) {
    const move = STEPS[event.key];
    if (event.key === "Escape") marked = null;
    else if (!move || !drawn) return;
    else {
      const [step, band] = marked || [answer.times.length - 1, 0];
      const within = (value, most) => Math.min(most, Math.max(0, value));
      marked = [within(step + move[0], answer.times.length - 1), within(band + move[1], answer.bounds_ms.length - 2)];
    }
    event.preventDefault();
    draw();
  }

  function refresh() {
    if (due()) ask();
    else draw();
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    const chart = byId("heat-chart");
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerleave", () => {
      marked = null;
      draw();
    });
    chart.addEventListener("keydown", key);
    new ResizeObserver(draw).observe(chart);
    pyrometer.pages.add("live", { draw: refresh, change: refresh });
  });
  pyrometer.heat = { svg };
})();
