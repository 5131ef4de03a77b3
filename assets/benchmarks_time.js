/* Rate and latency over a run: of the one under way as it goes, else of the stored one. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId } = pyrometer.dom;
  const { number, count, known, plural } = pyrometer.format;
  const { linear, between } = benchmarks.scales;
  const PERCENTILES = [["p50_ms", "p50", "latency-1"], ["p95_ms", "p95", "latency-2"], ["p99_ms", "p99", "latency-3"]];

  /* {t: [...], requested_per_s: [...], ...} of rows in the order of their columns. */
  function byColumn({ columns, points }) {
    return Object.fromEntries(columns.map((name, at) => [name, points.map((row) => row[at])]));
  }

  const most = (values) => values.filter(known).reduce((high, value) => Math.max(high, value), 0);
  const lastOf = (values) => values.filter(known).at(-1);

  function errorMarks(series, frame) {
    return series.t.map((t, place) => (series.errors[place] > 0
      ? benchmarks.svg("path", { class: "benchmarks-error", d: `M${frame.px(t).toFixed(1)} ${frame.bottom - 1}l-3.500 -6h7z` })
      : null)).filter(Boolean);
  }

  function rateBand(series, height) {
    const high = Math.max(most(series.requested_per_s), most(series.achieved_per_s));
    const asks = series.requested_per_s.some(known);
    const line = (name, className, { px, py }) => benchmarks.path(series.t.map((t, place) => [px(t), known(series[name][place]) ? py(series[name][place]) : null]), className);
    return {
      height,
      title: series.errors.some((value) => value > 0) ? "Requests/s; triangles: errors" : "Requests/s",
      y: linear(high || 1),
      draw: (frame) => [
        ...(asks ? [line("requested_per_s", "benchmarks-requested", frame)] : []),
        line("achieved_per_s", "benchmarks-achieved", frame),
        ...errorMarks(series, frame),
      ],
      labels: [
        { y: lastOf(series.requested_per_s), text: "requested", className: "benchmarks-requested" },
        { y: lastOf(series.achieved_per_s), text: "achieved", className: "benchmarks-achieved" },
      ],
    };
  }

  function latencyBand(series, height) {
    return {
      height,
      title: "Latency, ms",
      y: linear(most(series.p99_ms) || most(series.p50_ms) || 1),
      draw: ({ px, py }) => PERCENTILES.map(([name, , token]) =>
        benchmarks.path(series.t.map((t, place) => [px(t), known(series[name][place]) ? py(series[name][place]) : null]), `benchmarks-${token}`)),
      labels: PERCENTILES.map(([name, text, token]) => ({ y: lastOf(series[name]), text, className: `benchmarks-${token}` })),
    };
  }

  function words(series, place) {
    const rates = known(series.requested_per_s[place]) ? `${count(series.achieved_per_s[place])} of ${count(series.requested_per_s[place])}` : count(series.achieved_per_s[place]);
    const times = PERCENTILES.map(([name, text]) => `${text} ${number(series[name][place])}`).join(", ");
    const errors = series.errors[place] > 0 ? `; ${plural(series.errors[place], "error")}` : "";
    return `${number(series.t[place])} s: ${rates} requests/s; ${times} ms${errors}`;
  }

  /* what: said in the head while nothing is pointed at. until: seconds, where the axis ends. */
  function draw(told, what, until) {
    const host = byId("benchmarks-time");
    if (!told || !told.points.length) {
      benchmarks.readout("time", what);
      return benchmarks.blank(host, told ? "Waiting for the first second" : "Requested and achieved rate and the percentiles of each second will be drawn here.");
    }
    const series = byColumn(told);
    const last = Math.max(until || 0, lastOf(series.t) || 1);
    const small = host.clientWidth < 500;
    return benchmarks.plot(host, {
      label: "Requested and achieved rate, and latency percentiles, over the run",
      x: { ...between(0, last, small ? 3 : 6), title: "seconds" },
      bands: [rateBand(series, small ? 96 : 128), latencyBand(series, small ? 132 : 172)],
      stops: series.t,
      tell: (place) => benchmarks.readout("time", place === null ? what : words(series, place)),
    });
  }

  benchmarks.time = { draw };
})();
