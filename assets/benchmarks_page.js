/* The Benchmarks page: what runs, which stored run is shown and which it is compared with.

   ?run=ID&with=ID   the run that is shown, else the newest; the one it is compared with
   further keys      what the form has that is not its default (benchmarks_form.js)

   Every second while a benchmark runs, else every SLOW_MS, one GET while the page is shown and
   the tab is not hidden; stored runs are asked for anew only when the server's have changed. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, duration, known } = pyrometer.format;
  const { cut, nameOf, verdict, facts, asked, rate, when } = benchmarks.words;
  const PATH = "/performance/benchmarks";
  const [FAST_MS, SLOW_MS] = [1000, 5000];
  const LIMIT_MS = 20000;
  const MOST_POINTS = 600;
  const COMMAND = "pyrometer bench run --model NAME --rate 500 --seconds 20";

  let answer = null; // of part=all: runs, unreadable, form
  let running = null; // of what runs, with all its points
  let last = null; // how the last one of this server ended
  let run = null; // the stored run that is shown
  let other = null; // the one it is compared with
  let problem = "";
  let missing = ""; // a run of the address that is not there
  let revision = "";
  let under = null;
  let timer = 0;
  let watched = 0; // when the run began whose end is to be told, 0 for none
  let drawnKey = "";

  const isShown = () => pyrometer.router.current() === "benchmarks";
  const ask = (url, signal) => pyrometer.flame.state.ask(url, signal);

  // Asking

  /* Points come after those that are here; another run begins anew. */
  function takeRunning(told) {
    if (!told) return null;
    const same = running && running.started === told.started;
    const kept = same ? running.points : [];
    return { ...told, points: [...kept, ...told.points].slice(-MOST_POINTS) };
  }

  async function stored(id, signal) {
    if (!id) return null;
    for (const one of [run, other]) if (one && one.id === id) return one;
    try {
      return await ask(`${PATH}/${encodeURIComponent(id)}`, signal);
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      missing = id;
      return null;
    }
  }

  async function chosen(signal) {
    missing = "";
    const newest = answer.runs.length ? answer.runs[0].id : "";
    const wanted = pyrometer.url.get("run") || newest;
    const [shown, compared] = [await stored(wanted, signal), await stored(pyrometer.url.get("with"), signal)];
    [run, other] = [shown, compared && shown && compared.id !== shown.id ? compared : null];
    // A link to what is seen names it, also once there is a newer one.
    if (run && !pyrometer.url.get("run") && isShown()) pyrometer.url.set({ run: run.id });
  }

  async function look(whole, signal) {
    const seq = running ? running.seq : 0;
    const told = await ask(`${PATH}?${whole ? "" : "part=running&"}since=${seq}`, signal);
    const fresh = running && told.running && told.running.started !== running.started;
    if (fresh && seq) {
      running = null;
      return look(whole, signal);
    }
    running = takeRunning(told.running);
    last = told.last;
    if (running) watched = running.started;
    const changed = told.revision !== revision;
    revision = told.revision;
    if (whole) {
      answer = told;
      benchmarks.form.accept(told.form);
      await chosen(signal);
    } else if (changed || ended()) return look(true, signal);
    return undefined;
  }

  const ended = () => watched > 0 && !running && last !== null && last.started === watched;

  async function load(whole = true) {
    if (under) {
      if (!whole) return;
      under.abort();
    }
    const own = (under = new AbortController());
    try {
      await look(whole || !answer, own.signal);
      problem = "";
      if (ended()) await tellEnd(own.signal);
    } catch (failure) {
      if (own.signal.aborted) return;
      problem = failure.message;
    } finally {
      if (under === own) {
        under = null;
        again();
      }
    }
    if (isShown()) draw();
  }

  function again() {
    clearTimeout(timer);
    if (!isShown()) return;
    timer = setTimeout(() => (document.hidden ? again() : load(false)), running ? FAST_MS : SLOW_MS);
  }

  /* A run that this tab has watched: show it, or say why there is none. */
  async function tellEnd(signal) {
    watched = 0;
    if (last.run) {
      pyrometer.url.set({ run: last.run, with: null });
      await chosen(signal);
      if (run) pyrometer.toast(run.valid ? "ok" : "critical", last.cancelled ? "Benchmark cancelled" : "Benchmark finished", verdict(run).text);
    } else {
      pyrometer.toast(last.cancelled ? "warning" : "critical", last.cancelled ? "Benchmark cancelled" : "Benchmark failed", cut(last.error, 300));
    }
  }

  // Drawing

  function headline(status, words, detail) {
    setStatus(byId("benchmarks-mark"), status);
    byId("benchmarks-headline").dataset.status = status;
    setText(byId("benchmarks-verdict"), words);
    setText(byId("benchmarks-detail"), detail);
  }

  function command(words) {
    const host = byId("benchmarks-command");
    if (host.dataset.words === words) return;
    host.dataset.words = words;
    host.replaceChildren();
    if (!words) return;
    const { node, code } = pyrometer.command.line(words);
    code.tabIndex = 0;
    node.prepend(element("span", "muted", run ? "To repeat it" : "Or from a shell"));
    host.append(node);
  }

  function actions() {
    const host = byId("benchmarks-actions");
    if (host.dataset.run === (run ? run.id : "")) return;
    host.dataset.run = run ? run.id : "";
    host.replaceChildren();
    if (!run) return;
    const adopt = pyrometer.tables.button("Use its settings", "Fill the form with this run's settings", () => benchmarks.form.adopt(run.spec));
    const save = element("a", "action btn btn-sm btn-link", "Download JSON");
    save.href = `${PATH}/${encodeURIComponent(run.id)}`;
    save.download = `pyrometer-benchmark-${run.id}.json`;
    host.append(adopt, save);
  }

  function drawVerdict() {
    actions();
    const list = byId("benchmarks-facts");
    list.hidden = !run;
    if (!run) {
      if (missing) headline("unknown", `Run ${cut(missing, 60)} is not stored any more`, "It may have been deleted; the stored runs are listed below.");
      else if (problem && !answer) headline("unknown", `The runs could not be read: ${cut(problem, 200)}`, "It is asked again; the other pages go on.");
      else if (!answer) headline("unknown", "Asking for the runs", "");
      else headline("unknown", "No benchmark has been run yet", "The verdict of the newest run will be here: its p99 at the rate that was asked and achieved, and whether it can be quoted.");
      command(answer && !missing ? COMMAND : "");
      return benchmarks.readout("verdict", "");
    }
    const { status, text, detail } = verdict(run);
    headline(status, text, detail);
    benchmarks.readout("verdict", `${nameOf(run)}, ${when(run)}`);
    const told = facts(run);
    const key = JSON.stringify(told);
    if (list.dataset.key !== key) {
      list.dataset.key = key;
      list.replaceChildren(...told.map(([name, value]) => {
        const given = element("dd", "num", value);
        given.title = value;
        return element("div", "benchmarks-fact", [element("dt", "", name), given]);
      }));
    }
    // Gates, soaks and reports measure with further means: one of their runs is not the whole.
    return command(["load", "ramp"].includes(run.kind) ? benchmarks.command(run) : "");
  }

  function progressWords() {
    const { progress, spec, seconds } = running;
    const name = cut(spec.name || spec.model || "captured traffic", 60);
    if (running.cancelling) return `${name}: ending, what was measured is being stored`;
    if (!progress) return `${name}: the load generator is starting`;
    const step = known(progress.step) ? `, step ${progress.step} of ${progress.steps}` : "";
    const phase = progress.phase === "warmup" ? "warming up, " : "";
    return `${name}: ${phase}${duration(progress.elapsed_s)} of ${duration(progress.seconds || seconds)}${step}, p99 ${number(progress.p99_ms)} ms at ${rate(progress.achieved_per_s)} requests/s`;
  }

  function drawProgress() {
    const host = byId("benchmarks-progress");
    host.hidden = !running;
    if (!running) return;
    const { progress, seconds } = running;
    const part = progress ? progress.elapsed_s / Math.max(1e-9, progress.seconds || seconds) : 0;
    const done = progress && progress.steps ? (progress.step - 1 + part) / progress.steps : progress && progress.phase === "warmup" ? 0 : part;
    const share = Math.max(0, Math.min(100, 100 * done));
    byId("benchmarks-progress-fill").style.width = `${share.toFixed(1)}%`;
    byId("benchmarks-progress-bar").setAttribute("aria-valuenow", String(Math.round(share)));
    setText(byId("benchmarks-progress-words"), progressWords());
    byId("benchmarks-cancel").setAttribute("aria-disabled", String(running.cancelling));
    setText(byId("benchmarks-cancel"), running.cancelling ? "Cancelling" : "Cancel");
  }

  function drawTime() {
    const said = running ? asked(running.spec) : run ? `${nameOf(run)}, ${when(run)}` : "";
    const until = running && !running.spec.ramp ? running.spec.seconds : 0;
    benchmarks.time.draw(running || (run && run.series) || null, said, until);
  }

  function draw() {
    const page = byId("benchmarks-page");
    page.dataset.state = problem ? (answer ? "stale" : "error") : !answer ? "loading" : run ? "shown" : "empty";
    page.dataset.ramp = run && run.steps ? "yes" : "no";
    page.dataset.valid = run && !run.valid ? "no" : "yes";
    page.dataset.running = running ? "yes" : "no";
    drawVerdict();
    drawProgress();
    benchmarks.form.tell();
    if (answer) benchmarks.runs.draw(answer);
    benchmarks.compare.draw(run, other);
    const theme = document.documentElement.dataset.theme;
    const key = JSON.stringify([run && run.id, other && other.id, page.clientWidth, theme]);
    if (running || key + String(Boolean(running)) !== drawnKey) drawTime();
    if (run && key !== drawnKey.slice(0, key.length)) benchmarks.charts.draw(run, other);
    drawnKey = key + String(Boolean(running));
  }

  async function cancel() {
    if (!running || running.cancelling) return;
    running.cancelling = true;
    drawProgress();
    try {
      await pyrometer.post(`${PATH}/cancel`, {}, LIMIT_MS);
    } catch (failure) {
      pyrometer.toast("critical", "Cancel failed", failure.message);
    }
    load(false);
  }

  function wire() {
    byId("benchmarks-cancel").addEventListener("click", cancel);
    let width = 0;
    new ResizeObserver(() => {
      const now = byId("benchmarks-page").clientWidth;
      if (now && now !== width && isShown()) draw();
      width = now;
    }).observe(byId("benchmarks-page"));
  }

  /* Back, forward and our own changes: another run may be meant. */
  async function change() {
    if (!answer) return;
    const wanted = [pyrometer.url.get("run") || (answer.runs[0] || {}).id || "", pyrometer.url.get("with") || ""];
    if (wanted[0] === (run ? run.id : missing) && wanted[1] === (other ? other.id : "")) return;
    try {
      await chosen(undefined);
    } catch (failure) {
      problem = failure.message;
    }
    if (isShown()) draw();
  }

  (pyrometer.starters = pyrometer.starters || []).push(wire);
  benchmarks.page = {
    load,
    begun: () => load(false),
    running: () => running,
    shown: () => run,
    other: () => other,
    series: () => running || (run && run.series) || null,
  };
  pyrometer.pages.add("benchmarks", {
    enter: () => {
      draw();
      benchmarks.form.fill();
      load(true);
    },
    change,
    draw: () => draw(),
    leave: () => {
      clearTimeout(timer);
      if (under) under.abort();
      under = null;
    },
  });
})();
