/* The last minutes of the fleet: p99 of all requests together, each process' own faint behind it, and
   the requests a second below. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const fleet = (pyrometer.fleet = pyrometer.fleet || {});
  const { byId, setText } = pyrometer.dom;
  const { number, clock, known } = pyrometer.format;
  const COLUMNS = { t: "Time", requests_per_s: "Requests, 1/s", errors_per_s: "Errors, 1/s", p50_ms: "p50, ms", p95_ms: "p95, ms", p99_ms: "p99, ms" };
  let drawn = "";

  function timeScale(times) {
    const [from, to] = [times[0], times.at(-1)];
    const ticks = times.filter((t) => t % 60 === 0).map((t) => [t, clock(t).slice(0, 5)]);
    return { at: (t) => (t - from) / Math.max(1, to - from), ticks };
  }

  /* A path whose lone points are seen too. */
  function path(points, className) {
    const node = pyrometer.benchmarks.path(points, className);
    node.setAttribute("d", node.getAttribute("d").replace(/M(\S+) ([\d.-]+)(?=M|$)/g, "M$1 $2h0.1"));
    return node;
  }

  function peerLines({ px, py }, times, series) {
    return Object.values(series.peers_p99_ms).map((own) =>
      path(times.map((t, at) => [px(t), known(own[at]) ? py(own[at]) : null]), "fleet-faint"));
  }

  function words(series, at) {
    const [t, rate, errors, p50, p95, p99] = series.points[at];
    const each = Object.entries(series.peers_p99_ms).filter(([, own]) => known(own[at])).slice(0, 4)
      .map(([id, own]) => `${fleet.short(id)} ${number(own[at])}`);
    const failed = errors > 0 ? `, ${number(errors)} errors/s` : "";
    return `${clock(t)}: ${number(rate)} req/s${failed}, p50 ${number(p50)}, p95 ${number(p95)}, p99 ${number(p99)} ms${each.length ? `; p99 of ${each.join(", ")}` : ""}`;
  }

  fleet.drawChart = (told) => {
    const host = byId("fleet-latency");
    const { series } = told;
    const { plot, blank, scales } = pyrometer.benchmarks;
    const times = series.points.map((point) => point[0]);
    const now = `${times.at(-1)} ${host.clientWidth} ${document.documentElement.dataset.theme}`;
    if (drawn === now && host.firstChild) return undefined;
    drawn = now;
    const p99s = [...series.points.map((point) => point[5]), ...Object.values(series.peers_p99_ms).flat()].filter(known);
    if (!p99s.length) {
      setText(byId("readout-fleet-latency"), "");
      return blank(host, "No process served a request in the last 10 minutes. The merged p99, and each process' own, will be drawn here.");
    }
    const last = (column) => (series.points.findLast((point) => known(point[column])) || [])[column];
    const rates = series.points.map((point) => point[1]).filter(known);
    const line = (column, className) => ({ px, py }) => [path(series.points.map((point) => [px(point[0]), known(point[column]) ? py(point[column]) : null]), className)];
    return plot(host, {
      label: "p99 of the fleet and of each process, requests a second of the fleet",
      x: timeScale(times),
      bands: [
        {
          height: 170,
          title: "p99, ms: all requests together, and each process",
          y: scales.linear(Math.max(...p99s)),
          draw: (frame) => [...peerLines(frame, times, series), ...line(5, "fleet-merged")(frame)],
          labels: [{ y: last(5), text: "together", className: "fleet-merged" }],
        },
        {
          height: 60,
          title: "requests/s",
          y: scales.linear(Math.max(...rates, 1), 2),
          draw: line(1, "benchmarks-achieved"),
          labels: [{ y: last(1), text: "requests", className: "benchmarks-achieved" }],
        },
      ],
      stops: times,
      tell: (at) => setText(byId("readout-fleet-latency"), at === null ? "" : words(series, at)),
    });
  };

  function rows() {
    const told = fleet.answer() && fleet.answer().fleet;
    if (!told) return { columns: Object.values(COLUMNS), rows: [], note: "" };
    const ids = Object.keys(told.series.peers_p99_ms);
    const filled = told.series.points.map((point, at) => [...point, ...ids.map((id) => told.series.peers_p99_ms[id][at])])
      .filter((row) => row.slice(1).some(known))
      .map((row) => [new Date(row[0] * 1000), ...row.slice(1)]);
    return { columns: [...Object.values(COLUMNS), ...ids.map((id) => `p99 of ${fleet.short(id)}, ms`)], rows: filled, note: "last 10 minutes" };
  }

  pyrometer.pictures.provide("panel-fleet-latency", { rows });
})();
