/* The Reports page: what optimising brought, in words first.

   GET /performance/reports/optimization?flame=0 for the console's range when the page is shown, the
   range changes or a measurement ends, and every REFRESH_MS while the figures are live;
   GET /performance/reports every LIST_MS, each second while something is measured.
   reports_*.js draw the parts: pyrometer.reports = {draw<Part>(report | overview), ...}. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, clock, day, duration, known } = pyrometer.format;
  const PATH = "/performance/reports";
  const [REFRESH_MS, LIST_MS, BUSY_MS] = [30000, 15000, 1000];
  const MOST_WORDS = 400;
  const LIMIT_MS = 60000;
  let report = null;
  let overview = null;
  let problem = "";
  let asked = ""; // the query that the report answers
  let [reportAt, listAt] = [-Infinity, -Infinity];
  let under = null;
  let listing = false;
  let wasRunning = false;

  const short = (text, most = MOST_WORDS) => String(text === null || text === undefined ? "" : text).slice(0, most);
  const when = (seconds) => (known(seconds) ? `${day(seconds)} ${clock(seconds)}` : "–");

  /* "412 ms", "2.1x", "–" */
  function amount(figure, unit = "") {
    if (!figure || !known(figure.value)) return "–";
    const of = figure.unit || unit;
    if (!of && Number.isInteger(figure.value)) return figure.value.toLocaleString("en-US");
    return `${number(figure.value)}${of === "x" ? "x" : of ? ` ${short(of, 12)}` : ""}`;
  }

  /* How a figure was measured and where it is from, for a title. */
  function howOf(figure) {
    if (!figure) return "";
    const parts = [figure.how, known(figure.n) && figure.n ? `n = ${figure.n.toLocaleString("en-US")}` : "", figure.window, figure.run ? `from ${figure.run}` : ""];
    return known(figure.value) ? short(parts.filter(Boolean).join("; ")) : short(figure.why || "no data");
  }

  // Asking

  async function load() {
    const query = pyrometer.time.query();
    if (under) {
      if (query === asked) return;
      under.abort();
    }
    const mine = (under = new AbortController());
    asked = query;
    try {
      const fresh = await pyrometer.flame.state.ask(`${PATH}/optimization?flame=0&${query}`, mine.signal);
      if (under !== mine) return;
      report = fresh;
      problem = "";
    } catch (failure) {
      if (under !== mine || mine.signal.aborted) return;
      problem = failure.message;
    }
    under = null;
    reportAt = performance.now();
    draw();
  }

  async function list() {
    if (listing) return;
    listing = true;
    try {
      overview = await pyrometer.flame.state.ask(PATH);
    } catch (failure) {
      if (!overview) problem = failure.message;
    } finally {
      listing = false;
      listAt = performance.now();
    }
    if (pyrometer.router.current() !== "reports") return;
    drawOverview();
    const running = Boolean(overview && overview.measurement.running);
    if (wasRunning && !running) ended(overview.measurement.last);
    wasRunning = running;
  }

  function ended(last) {
    if (!last) return;
    if (last.error) pyrometer.toast("critical", "The measurement failed", short(last.error));
    else pyrometer.toast(last.cancelled ? "warning" : "ok", last.cancelled ? "The measurement was cancelled" : "Measured before and after", `run ${short(last.run, 60)}`);
    reportAt = -Infinity;
    load();
  }

  // Drawing

  function meta() {
    const run = (report.sources || []).find((one) => one.kind === "optimization");
    const parts = [];
    if (run) parts.push(`Measured ${when(run.started)}, run ${short(run.id, 60)}`);
    if (run && run.machine) parts.push(`${run.machine.cpus} cores, ${short(run.machine.cpu, 80)}`);
    if (report.window) parts.push(`live figures of ${pyrometer.time.words()}, ${duration(report.window.covered_s)} recorded`);
    const schedule = overview && overview.schedule;
    if (schedule) parts.push(schedule.at ? `a report each day at ${short(schedule.at, 5)} UTC, next ${when(schedule.next)}` : "no daily report (report_at)");
    return parts.join("; ");
  }

  function links() {
    const query = asked || pyrometer.time.query();
    const address = (format, more = "") => `${PATH}/optimization?format=${format}&${query}${more}`;
    byId("reports-open").href = address("html");
    for (const format of ["html", "md", "json", "pdf"]) {
      const link = byId(`reports-file-${format}`);
      link.href = address(format, "&download=1");
      link.download = `pyrometer-report.${format}`;
    }
  }

  function draw() {
    if (pyrometer.router.current() !== "reports") return;
    byId("reports-page").dataset.state = problem ? (report ? "stale" : "error") : report ? "shown" : "loading";
    links();
    const lead = byId("reports-lead");
    if (!report) {
      setText(lead, problem ? `The report could not be made: ${short(problem)}. The other pages go on.` : "Asking what was measured");
      return;
    }
    setText(lead, short(report.summary.text));
    setText(byId("reports-meta"), meta());
    setText(byId("readout-reports-summary"), problem ? `not refreshed: ${short(problem, 120)}` : "");
    for (const part of ["Targets", "Bars", "Advice"]) pyrometer.guard(`reports ${part}`, () => reports[`draw${part}`](report));
  }

  function drawProgress({ running, progress, seconds, cancelling, started }) {
    const panel = byId("reports-progress");
    panel.toggleAttribute("data-running", running);
    byId("reports-measure").setAttribute("aria-disabled", String(running));
    byId("reports-cancel").disabled = !running || cancelling;
    if (!running) return;
    const elapsed = progress ? progress.elapsed_s : Math.max(0, Date.now() / 1000 - started);
    const step = progress && progress.steps ? `, step ${progress.step} of ${progress.steps}` : "";
    const phase = cancelling ? "ending" : progress ? short(progress.phase, 80) : "starting";
    setText(byId("reports-doing"), `${phase}${step}, ${Math.floor(elapsed)} of at most ${Math.round(seconds)} s`);
    const share = progress && progress.steps ? progress.step / progress.steps : elapsed / seconds;
    byId("reports-fill").style.width = `${(100 * Math.min(1, share)).toFixed(1)}%`;
  }

  function drawOverview() {
    if (!overview) return;
    drawProgress(overview.measurement);
    pyrometer.guard("reports stored", () => reports.drawStored(overview));
    if (report) setText(byId("reports-meta"), meta());
  }

  // Acting

  async function measure() {
    if (byId("reports-measure").getAttribute("aria-disabled") === "true") return;
    try {
      await pyrometer.post(`${PATH}/measure`, {}, LIMIT_MS);
      wasRunning = true;
    } catch (failure) {
      pyrometer.toast("critical", "Measure failed", short(failure.message));
    }
    list();
  }

  async function cancel() {
    byId("reports-cancel").disabled = true;
    try {
      await pyrometer.post(`${PATH}/measure/cancel`, {}, LIMIT_MS);
    } catch (failure) {
      pyrometer.toast("critical", "Cancel failed", short(failure.message));
    }
    list();
  }

  /* pinned: what the page shows stays what is stored. */
  function store() {
    const { from, to } = pyrometer.time.range();
    const what = { key: "report store", doing: "Making the report", done: "Stored the report", failed: "Store the report failed" };
    return pyrometer.actions.run(what, async () => {
      const answer = await pyrometer.post(PATH, { from, to: Math.max(to, from + 1) }, LIMIT_MS);
      list();
      return { text: short(answer.text) };
    });
  }

  function refresh(state) {
    if (document.hidden) return;
    const now = performance.now();
    const busy = Boolean(overview && overview.measurement.running);
    if (now - listAt >= (busy ? BUSY_MS : LIST_MS)) list();
    if (state.phase !== "paused" && now - reportAt >= REFRESH_MS) load();
  }

  Object.assign(reports, { PATH, LIMIT_MS, amount, howOf, short, when, load, list, measure, element });
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("reports-measure").addEventListener("click", measure);
    byId("reports-cancel").addEventListener("click", cancel);
    byId("reports-store").addEventListener("click", store);
    pyrometer.time.on(() => pyrometer.router.current() === "reports" && pyrometer.time.query() !== asked && load());
  });
  pyrometer.pages.add("reports", {
    enter: () => {
      draw();
      drawOverview();
      load();
      list();
    },
    draw: refresh,
    leave: () => {
      if (under) under.abort();
      under = null;
    },
  });
})();
