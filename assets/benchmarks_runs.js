/* The stored runs: which one is shown, which one is compared, and the end of one. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { number, percent, plural, known } = pyrometer.format;
  const { cut, rate, errorPercent, nameOf, when, asked, slo, within } = benchmarks.words;
  const LIMIT_MS = 20000;
  const BLANK = "No run is stored yet. Start one above; what it measured will be listed here.";

  function verdictOf(run) {
    if (run.cancelled) return { status: "warning", word: "cancelled", why: cut(run.invalid_because || "before its end", 300) };
    if (!run.valid) return { status: "critical", word: "invalid", why: cut(run.invalid_because || "no reason was stored", 300) };
    const kept = within(run.slo || {}, run.p99_ms, errorPercent(run));
    const { highest_within_slo_per_s: highest } = run;
    if (run.ramp) return { status: known(highest) ? "ok" : "warning", word: "valid", why: known(highest) ? `up to ${rate(highest)}/s` : `no step within ${slo(run)}` };
    if (kept === false) return { status: "warning", word: "valid", why: `over ${slo(run)}` };
    return { status: "ok", word: "valid", why: kept ? "within its objective" : "no objective" };
  }

  const link = (changes) => {
    const params = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(changes)) value === null ? params.delete(key) : params.set(key, value);
    return `/benchmarks?${params}`;
  };

  function plain(event, act) {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  function newRow() {
    const { cell, twoLines, button } = pyrometer.tables;
    const open = element("a", "cell-1 benchmarks-open");
    const row = element("tr", "", [
      cell("run", [open, element("div", "cell-2")]),
      cell("asked", twoLines()),
      cell("rate", "", "achieved", true),
      cell("p50", "", "p50 ms", true),
      cell("p99", "", "p99 ms", true),
      cell("errors", "", "errors %", true),
      cell("verdict", [element("div", "state", [element("span", "mark"), element("span", "state-word")]), element("div", "cell-2")]),
    ]);
    open.addEventListener("click", (event) => plain(event, () => show(row.run)));
    const compare = button("Compare", "Compare", () => compareWith(row.run));
    const drop = button("Delete", "Delete", () => remove(row, row.run));
    compare.dataset.action = "compare";
    drop.dataset.action = "delete";
    row.append(cell("action", [compare, drop], "", true));
    return row;
  }

  function fillRow(row, run) {
    const { titled } = pyrometer.tables;
    row.run = run;
    row.dataset.run = run.id;
    row.dataset.valid = String(Boolean(run.valid));
    const shown = benchmarks.page.shown();
    if (shown && shown.id === run.id) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
    const open = row.querySelector(".benchmarks-open");
    titled(open, nameOf(run));
    open.href = link({ run: run.id, with: null });
    titled(row.querySelector(".col-run .cell-2"), `${when(run)}${run.kind === "load" ? "" : `, ${cut(run.kind, 20)}`}`);
    const [model, how] = row.querySelectorAll(".col-asked > div");
    titled(model, cut(run.model || (run.kind === "optimization" ? "all models" : "captured traffic")));
    titled(how, asked(run));
    setText(row.querySelector(".col-rate"), rate(run.achieved_per_s));
    setText(row.querySelector(".col-p50"), number(run.p50_ms));
    setText(row.querySelector(".col-p99"), number(run.p99_ms));
    setText(row.querySelector(".col-errors"), percent(errorPercent(run)));
    const { status, word, why } = verdictOf(run);
    setStatus(row.querySelector(".mark"), status);
    setText(row.querySelector(".state-word"), word);
    titled(row.querySelector(".col-verdict .cell-2"), why);
    const compare = row.querySelector("[data-action=compare]");
    const other = benchmarks.page.other();
    const self = Boolean(shown && shown.id === run.id);
    compare.hidden = self;
    setText(compare, other && other.id === run.id ? "Compared" : "Compare");
    compare.setAttribute("aria-pressed", String(Boolean(other && other.id === run.id)));
    compare.setAttribute("aria-label", `Compare with ${nameOf(run)} of ${when(run)}`);
    row.querySelector("[data-action=delete]").setAttribute("aria-label", `Delete ${nameOf(run)} of ${when(run)}`);
  }

  function show(run) {
    pyrometer.url.set({ run: run.id, with: null }, { push: true });
    scrollTo({ top: 0, behavior: "instant" });
  }

  function compareWith(run) {
    const same = pyrometer.url.get("with") === run.id;
    pyrometer.url.set({ with: same ? null : run.id }, { push: true });
    if (!same) byId("panel-benchmarks-compared").scrollIntoView({ block: "start", behavior: "instant" });
  }

  async function remove(row, run) {
    if (row.classList.contains("confirming")) return;
    const text = `Delete ${nameOf(run)} of ${when(run)}? Links to it will find nothing.`;
    if (!(await pyrometer.actions.confirmInPlace(row, "td", text, "Delete run"))) return;
    try {
      await pyrometer.post("/performance/benchmarks/delete", { id: run.id }, LIMIT_MS);
      pyrometer.toast("ok", "Deleted the run", `${nameOf(run)} of ${when(run)}`);
      const gone = {};
      for (const key of ["run", "with"]) if (pyrometer.url.get(key) === run.id) gone[key] = null;
      pyrometer.url.set(gone);
    } catch (failure) {
      pyrometer.toast("critical", "Delete failed", failure.message);
    }
    benchmarks.page.load();
  }

  function draw(answer) {
    pyrometer.tables.fillTables("runs", answer.runs, (run) => run.id, newRow, fillRow, BLANK);
    const unread = answer.unreadable ? `, ${plural(answer.unreadable, "file")} unreadable` : "";
    benchmarks.readout("runs", answer.runs.length ? `${plural(answer.runs.length, "run")}, at most 500 are kept${unread}` : "");
  }

  benchmarks.runs = { draw };
})();
