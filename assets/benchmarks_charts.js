/* What a stored run found: client beside server, asked beside achieved, how latencies are spread,
   each percentile, and a ramp. Where two runs are compared, both are in the percentile chart. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element } = pyrometer.dom;
  const { number, count, percent, known, plural } = pyrometer.format;
  const { part, figures, rate, errorPercent, cut } = benchmarks.words;
  const { svg, path } = benchmarks;
  const { linear, logarithmic, nines, compact } = benchmarks.scales;
  const MOST_BARS = 72;
  const NAME_PX = 76; // of a percentile's name over the histogram
  const SIDES = [
    ["latency_ms", "from the intended send", "latency"],
    ["service_ms", "from the real send", "service"],
    ["server_ms", "as the server says", "server"],
  ];
  const NAMES = { p50: "p50", p90: "p90", p95: "p95", p99: "p99", p999: "p99.9", max: "max" };

  // Bars of the page's own: a name, a bar, a value; in groups

  function barRow({ name, value, high, text, className }) {
    const fill = element("span", `benchmarks-fill ${className}`);
    fill.style.width = known(value) && high > 0 ? `${Math.max(0.4, (100 * value) / high).toFixed(2)}%` : "0";
    return element("li", "benchmarks-row", [
      element("span", "benchmarks-row-name", name), element("span", "benchmarks-track", fill), element("span", "benchmarks-row-value num", text),
    ]);
  }

  const group = (title, rows) => element("div", "benchmarks-group", [element("h3", "benchmarks-sub", title), element("ul", "benchmarks-rows", rows)]);

  function drawSides(run) {
    const shares = ["p50", "p95", "p99"];
    const all = SIDES.flatMap(([key]) => shares.map((share) => part(run[key])[share])).filter(known);
    const high = Math.max(...all, 0);
    const closed = part(run.spec).loop === "closed";
    const groups = shares.map((share) => group(share, SIDES.map(([key, words, className]) => {
      const value = part(run[key])[share];
      const name = closed && key === "latency_ms" ? "from the send, closed loop" : words;
      return barRow({ name, value, high, text: known(value) ? `${number(value)} ms` : run[key] ? "–" : "not told", className: `benchmarks-side-${className}` });
    })));
    byId("benchmarks-sides").replaceChildren(...groups);
    const [client, server] = [part(run.service_ms).p99, part(run.server_ms).p99];
    benchmarks.readout("sides", known(client) && known(server) ? `at p99 the server says ${percent((100 * server) / client)} % of what the client saw` : "");
  }

  function ratesOf(run) {
    const rows = [];
    const high = Math.max(run.requested_per_s || 0, run.achieved_per_s || 0);
    if (known(run.requested_per_s)) rows.push({ name: "asked", value: run.requested_per_s, text: `${rate(run.requested_per_s)}/s`, className: "benchmarks-fill-asked" });
    rows.push({ name: "achieved", value: run.achieved_per_s, text: `${rate(run.achieved_per_s)}/s`, className: "benchmarks-fill-achieved" });
    return rows.map((row) => ({ ...row, high }));
  }

  /* Whether the generator kept up: what makes a number one that can be defended. */
  function sending(run) {
    const { cpu_percent: cpu, late_ms: late } = part(run.generator);
    const told = [
      ["Behind the asked rate", known(run.lag_percent) ? `${number(run.lag_percent)} %` : null],
      ["Sent late, p99", known(part(late).p99) ? `${number(late.p99)} ms` : null],
      ["Generator's processor", known(cpu) ? `${percent(cpu)} % of one core` : null],
    ].filter(([, value]) => value !== null);
    if (!told.length) return [];
    const facts = told.flatMap(([name, value]) => [element("dt", "", name), element("dd", "num", value)]);
    return [element("div", "benchmarks-group", [element("h3", "benchmarks-sub", "The generator"), element("dl", "benchmarks-sending", facts)])];
  }

  function drawAsked(run) {
    const statuses = Object.entries(part(run.statuses)).slice(0, 12).map(([status, many]) => ({
      name: `HTTP ${cut(status, 20)}`, value: many, high: run.requests, text: count(many), className: status.startsWith("2") ? "benchmarks-fill-achieved" : "benchmarks-fill-failed",
    }));
    const failed = errorPercent(run);
    const parts = [group(run.steps ? "Requests/s, all steps together" : "Requests/s", ratesOf(run).map(barRow)), group("Answers", statuses.map(barRow))];
    const texts = Object.entries(part(run.error_texts)).sort((one, other) => other[1] - one[1]).slice(0, 8);
    if (texts.length) {
      parts.push(element("div", "benchmarks-group", [
        element("h3", "benchmarks-sub", `${plural(run.errors, "error")}, ${percent(failed)} %`),
        element("ul", "benchmarks-texts", texts.map(([text, many]) => element("li", "", [element("b", "num", count(many)), ` ${cut(text, 300)}`]))),
      ]));
    } else parts.push(element("p", "benchmarks-words", run.errors ? `${plural(run.errors, "error")}.` : "No error."));
    byId("benchmarks-asked").replaceChildren(...parts, ...sending(run));
    benchmarks.readout("asked", `${plural(run.requests || 0, "request")}`);
  }

  // Distribution

  /* {edges, counts}: at most MOST_BARS bars, neighbours joined. */
  function barsOf(run) {
    const { edges_ms: edges = [], counts = [] } = part(run.histogram);
    if (edges.length !== counts.length + 1 || !counts.length) return null;
    const width = Math.ceil(counts.length / MOST_BARS);
    const bars = { edges: [edges[0]], counts: [] };
    for (let at = 0; at < counts.length; at += width) {
      bars.counts.push(counts.slice(at, at + width).reduce((sum, many) => sum + many, 0));
      bars.edges.push(edges[Math.min(at + width, counts.length)]);
    }
    return bars;
  }

  function percentileLines(run, { px, top, bottom, right }) {
    const seen = ["p50", "p95", "p99"].map((name) => [name, figures(run)[name]]).filter(([, value]) => known(value) && value > 0);
    const places = benchmarks.apart(seen.map(([, value]) => px(value) + 4), right - NAME_PX, NAME_PX);
    return seen.flatMap(([name, value], turn) => [
      svg("line", { class: `benchmarks-mark benchmarks-mark-${name}`, x1: px(value), x2: px(value), y1: top - 4, y2: bottom }),
      svg("text", { class: "benchmarks-name", x: places[turn], y: top - 8 }, `${name} ${number(value)}`),
    ]);
  }

  function drawDistribution(run) {
    const host = byId("benchmarks-distribution");
    const bars = barsOf(run);
    if (!bars) {
      benchmarks.readout("distribution", "");
      return benchmarks.blank(host, "No request was timed.");
    }
    const { edges, counts } = bars;
    const total = counts.reduce((sum, many) => sum + many, 0);
    const x = { ...logarithmic(edges[0], edges.at(-1)), title: "ms, logarithmic" };
    return benchmarks.plot(host, {
      label: `Histogram of ${plural(total, "latency").replace("latencys", "latencies")}`,
      x,
      bands: [{
        height: 220,
        y: linear(Math.max(...counts)),
        draw: (frame) => [
          ...counts.map((many, at) => {
            const [from, to] = [frame.px(edges[at]), frame.px(edges[at + 1])];
            const top = many ? Math.min(frame.py(many), frame.bottom - 1) : frame.bottom;
            return svg("rect", { class: "benchmarks-bin", x: from + 0.5, width: Math.max(1, to - from - 1), y: top, height: frame.bottom - top });
          }),
          ...percentileLines(run, frame),
        ],
      }],
      stops: counts.map((_, at) => Math.sqrt(edges[at] * edges[at + 1])),
      tell: (at) => benchmarks.readout("distribution", at === null ? plural(total, "request")
        : `${compact(edges[at])} to ${compact(edges[at + 1])} ms: ${plural(counts[at], "request")}, ${percent((100 * counts[at]) / total)} %`),
    });
  }

  // Percentiles

  /* [[share, ms]]: how many of the requests took at most so long. */
  function curveOf(run) {
    const { edges_ms: edges = [], counts = [] } = part(run.histogram);
    const total = counts.reduce((sum, many) => sum + many, 0);
    if (!total || edges.length !== counts.length + 1) return [];
    let below = 0;
    const points = counts.flatMap((many, at) => {
      below += many;
      return many ? [[below / total, edges[at + 1]]] : [];
    });
    const max = figures(run).max;
    return [[0, edges[0]], ...points.map(([share, ms]) => [share, known(max) ? Math.min(ms, max) : ms])];
  }

  const atShare = (curve, share) => (curve.find(([known_]) => known_ >= share) || curve.at(-1))[1];

  function drawPercentiles(run, other) {
    const host = byId("benchmarks-percentiles");
    const curves = [[curveOf(run), "benchmarks-this", "this run"], ...(other ? [[curveOf(other), "benchmarks-other", "compared"]] : [])]
      .filter(([curve]) => curve.length);
    if (!curves.length) {
      benchmarks.readout("percentiles", "");
      return benchmarks.blank(host, "No request was timed.");
    }
    const times = curves.flatMap(([curve]) => curve.map(([, ms]) => ms)).filter((ms) => ms > 0);
    const p99 = part(part(run.spec).slo).p99_ms;
    const x = { ...nines(Math.max(run.requests || 1, other ? other.requests || 1 : 1)), title: "of the requests took at most" };
    const shares = x.ticks.map(([share]) => share).concat([0.5, 0.95]).sort((one, two) => one - two);
    const words = (share) => {
      const name = `${Number((100 * share).toPrecision(7))} %`;
      return `${name}: ${curves.map(([curve, , label]) => `${curves.length > 1 ? `${label} ` : ""}${number(atShare(curve, share))} ms`).join(", ")}`;
    };
    return benchmarks.plot(host, {
      label: "Latency at each percentile, by the number of nines",
      x,
      bands: [{
        height: 220,
        y: logarithmic(Math.min(...times) * 0.9, Math.max(...times, known(p99) && p99 < 3 * Math.max(...times) ? p99 : 0) * 1.1),
        draw: (frame) => [
          ...sloLine(p99, frame, Math.max(...times)),
          ...[...curves].reverse().map(([curve, className]) => path(curve.map(([share, ms]) => [frame.px(share), frame.py(ms)]), className)),
        ],
        labels: curves.map(([curve, className, text]) => ({ y: curve.at(-1)[1], text: curves.length > 1 ? text : "max", className })),
      }],
      stops: shares,
      tell: (at) => benchmarks.readout("percentiles", at === null ? curves.map(([, , label]) => label).join(", ").replace(/^this run$/, "") : words(shares[at])),
    });
  }

  function sloLine(p99, { left, right, py }, highest) {
    if (!known(p99) || p99 >= 3 * highest) return [];
    return [
      svg("line", { class: "benchmarks-objective", x1: left, x2: right, y1: py(p99), y2: py(p99) }),
      svg("text", { class: "benchmarks-name", x: left + 4, y: py(p99) - 5 }, `objective: ${number(p99)} ms`),
    ];
  }

  // Ramp

  const MARKS = { held: "within the objective", over: "over it", invalid: "invalid" };
  const stateOf = (step) => (step.valid === false ? "invalid" : step.within_slo ? "held" : "over");

  function stepMark(step, x, y) {
    const state = stateOf(step);
    const className = `benchmarks-step benchmarks-step-${state}`;
    if (state === "held") return svg("circle", { class: className, cx: x, cy: y, r: 4.5 });
    if (state === "over") return svg("rect", { class: className, x: x - 4.5, y: y - 4.5, width: 9, height: 9 });
    return svg("path", { class: className, d: `M${x - 4} ${y - 4}l8 8m0 -8l-8 8` });
  }

  function stepWords(step) {
    const errors = step.error_percent > 0 ? `, ${percent(step.error_percent)} % errors` : "";
    return `${rate(step.rate_per_s)}/s asked, ${rate(step.achieved_per_s)} achieved: p50 ${number(step.p50_ms)}, p99 ${number(step.p99_ms)} ms${errors}; ${MARKS[stateOf(step)]}${step.why ? `: ${cut(step.why, 120)}` : ""}`;
  }

  function drawRamp(run) {
    const host = byId("benchmarks-ramp");
    const steps = (run.steps || []).filter((step) => known(step.rate_per_s)).sort((one, other) => one.rate_per_s - other.rate_per_s);
    if (!steps.length) return benchmarks.blank(host, "No step of the ramp was run.");
    const timed = steps.filter((step) => known(step.p99_ms) && step.p99_ms > 0);
    const p99 = part(part(run.spec).slo).p99_ms;
    const values = [...timed.map((step) => step.p99_ms), ...(known(p99) ? [p99] : [])];
    const highest = run.highest_within_slo_per_s;
    const rest = known(highest) ? `highest within: ${rate(highest)} requests/s` : "no step was within the objective";
    return benchmarks.plot(host, {
      label: "Rate of each step against its p99",
      x: { ...linear(Math.max(...steps.map((step) => step.rate_per_s)), host.clientWidth < 500 ? 3 : 8), title: "requests/s asked" },
      bands: [{
        height: 220,
        title: "p99, ms, logarithmic; circle: within the objective, square: over it, cross: invalid",
        y: logarithmic(Math.min(...values, 1e9) * 0.8, Math.max(...values, 1e-3) * 1.25),
        draw: (frame) => [
          ...sloLine(p99, frame, Infinity),
          ...(known(highest) ? [svg("line", { class: "benchmarks-highest", x1: frame.px(highest), x2: frame.px(highest), y1: frame.top, y2: frame.bottom })] : []),
          path(timed.map((step) => [frame.px(step.rate_per_s), frame.py(step.p99_ms)]), "benchmarks-latency-2"),
          ...timed.map((step) => stepMark(step, frame.px(step.rate_per_s), frame.py(step.p99_ms))),
        ],
        labels: timed.length ? [{ y: timed.at(-1).p99_ms, text: "p99", className: "benchmarks-latency-2" }] : [],
      }],
      stops: steps.map((step) => step.rate_per_s),
      tell: (at) => benchmarks.readout("ramp", at === null ? rest : stepWords(steps[at])),
    });
  }

  function draw(run, other) {
    drawSides(run);
    drawAsked(run);
    drawDistribution(run);
    drawPercentiles(run, other);
    if (run.steps) drawRamp(run);
  }

  benchmarks.charts = { draw, NAMES, SIDES, barsOf, curveOf };
})();
