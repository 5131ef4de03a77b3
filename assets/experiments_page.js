/* The Experiments page: what is kept, which one is shown, and what is asked when.

   ?experiment=ID  the one that is shown, else the newest that runs, else the newest
   ?new=1          with the form open

   One GET in flight; the shown one at most once a second while it runs or is computed, the list
   every SLOW_MS; nothing while the page or the tab is hidden or the figures are paused. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { count, known } = pyrometer.format;
  const { cut, part, list, nameOf, stateOf, when, told, facts } = experiments.words;
  const PATH = "/performance/experiments";
  const [FAST_MS, SLOW_MS] = [1000, 5000];
  const BLANK = "An experiment lets two versions, forms or settings of a model answer side by side and says, once enough was measured, "
    + "which is faster and whether their answers agree. Begin with the form below, or from a shell with the line under it.";

  let answer = null; // of GET /performance/experiments
  let one = null; // the experiment that is shown, with its results
  let missing = ""; // an id of the address that is not there
  let problem = "";
  let under = null;
  let timer = 0;
  let listedAt = -Infinity;
  const verdicts = new Map(); // id -> {state, words}; at most as many as are kept

  const isShown = () => pyrometer.router.current() === "experiments";
  const ask = (url, signal) => pyrometer.flame.state.ask(url, signal);
  const isLive = (e) => Boolean(e) && (e.state === "running" || Boolean(part(e.results).computing));

  // Asking

  function wanted() {
    const asked = pyrometer.url.get("experiment");
    if (asked) return asked;
    const kept = list(answer && answer.experiments);
    return (kept.find((e) => e.state === "running") || kept[0] || { id: "" }).id;
  }

  /* What it came to is kept for the list, which does not tell. */
  function remember(e) {
    const found = told(e);
    verdicts.set(e.id, { state: e.state, words: found.lines.length ? found.lines.map((line) => line.text).join("; ") : found.text });
  }

  function take(e) {
    const before = one;
    one = e;
    missing = "";
    if (answer) answer.experiments = list(answer.experiments).map((other) => (other.id === e.id ? e : other)); // the list is older
    if (e.state !== "draft") remember(e);
    if (!pyrometer.url.get("experiment") && isShown()) pyrometer.url.set({ experiment: e.id });
    if (before && before.id === e.id && before.state === "running" && e.state !== "running") {
      listedAt = -Infinity;
      const { status, text } = told(e);
      pyrometer.toast(status === "unknown" ? "ok" : status, `Experiment ${stateOf(e).word}`, `${nameOf(e)}: ${text}`);
    }
  }

  async function look(id, signal) {
    try {
      take(await ask(`${PATH}/${encodeURIComponent(id)}`, signal));
    } catch (failure) {
      if (failure.status !== 404) throw failure;
      [one, missing] = [null, id];
    }
  }

  /* An ended one of the list whose verdict is not known here yet. */
  const untold = () => list(answer && answer.experiments).find((e) => !["draft", "running"].includes(e.state) && part(verdicts.get(e.id)).state !== e.state);

  function differs(id) {
    if (!one || one.id !== id) return missing !== id;
    const listed = list(answer.experiments).find((e) => e.id === id);
    return !listed || listed.state !== one.state;
  }

  /* One round: at most the list and one experiment. */
  async function round(signal) {
    const lists = !answer || performance.now() - listedAt >= SLOW_MS;
    if (lists) {
      answer = await ask(PATH, signal);
      listedAt = performance.now();
      for (const id of verdicts.keys()) if (!list(answer.experiments).some((e) => e.id === id)) verdicts.delete(id);
    }
    const id = wanted();
    const other = untold();
    if (!id) one = null;
    else if (differs(id) || (isLive(one) && !(lists && other))) return look(id, signal);
    if (other) remember(await ask(`${PATH}/${encodeURIComponent(other.id)}`, signal));
    return undefined;
  }

  async function load() {
    if (under) under.abort();
    const own = (under = new AbortController());
    try {
      await round(own.signal);
      problem = "";
    } catch (failure) {
      if (own.signal.aborted) return;
      problem = failure.message;
      listedAt = -Infinity;
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
    const soon = !problem && (isLive(one) || Boolean(untold()));
    const rests = () => document.hidden || pyrometer.time.live() === 0;
    timer = setTimeout(() => (rests() ? again() : load()), soon ? FAST_MS : SLOW_MS);
  }

  function refresh() {
    listedAt = -Infinity;
    return load();
  }

  /* After an action: e as it is now, null where it is gone. */
  function took(e, id) {
    verdicts.delete(id);
    if (e && (!one || one.id === id) && e.results) one = e;
    if (!e && one && one.id === id) one = null;
    if (!e && pyrometer.url.get("experiment") === id) pyrometer.url.set({ experiment: null });
    draw();
    refresh();
  }

  // Drawing

  function drawFacts(host, pairs) {
    const key = JSON.stringify(pairs);
    if (host.dataset.key === key) return;
    host.dataset.key = key;
    host.replaceChildren(...pairs.map(([name, value]) => {
      const given = element("dd", "num", value);
      given.title = value;
      return element("div", "experiments-fact", [element("dt", "", name), given]);
    }));
  }

  function headline(status, words, detail) {
    setStatus(byId("experiments-mark"), status);
    byId("experiments-headline").dataset.status = status;
    setText(byId("experiments-verdict"), words);
    setText(byId("experiments-detail"), detail);
  }

  function sentences(lines) {
    const host = byId("experiments-sentences");
    const key = JSON.stringify(lines);
    if (host.dataset.key === key) return;
    host.dataset.key = key;
    host.replaceChildren(...lines.map(({ status, text }) => {
      const mark = element("span", "mark");
      setStatus(mark, status);
      return element("li", "", [mark, element("span", "", text)]);
    }));
  }

  function drawNone() {
    const off = answer && answer.problem;
    if (missing) headline("unknown", `Experiment ${cut(missing, 60)} is not kept any more`, "It may have been deleted; those that are kept are listed below.");
    else if (problem && !answer) headline("unknown", `The experiments could not be read: ${cut(problem, 200)}`, "They are asked for again; the other pages go on.");
    else if (!answer) headline("unknown", "Asking for the experiments", "");
    else if (off) headline("warning", `No experiment may start: ${cut(off, 200)}`, "");
    else headline("unknown", "No experiment yet", BLANK);
    sentences([]);
    setText(byId("readout-experiments-verdict"), "");
  }

  function drawProgress(e) {
    const { requests, needed, share } = part(e && e.progress);
    const host = byId("experiments-progress");
    host.hidden = !e || e.state === "draft";
    if (host.hidden) return;
    const bar = byId("experiments-progress-bar");
    bar.hidden = !known(share);
    const percent = known(share) ? Math.max(0, Math.min(100, 100 * share)) : 0;
    byId("experiments-progress-fill").style.width = `${percent.toFixed(1)}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(percent)));
    const planned = `${count(requests)} of ${count(needed)} requests, the variant with the fewest`;
    setText(byId("experiments-progress-words"), known(needed) ? planned : `${count(requests)} requests of each variant at least; no planned end`);
  }

  function drawOne(e) {
    const { status, text, detail, lines, trusted } = told(e);
    const off = answer && answer.problem ? ` ${cut(answer.problem, 200)}.` : "";
    headline(status, text, `${problem ? `Not refreshed: ${cut(problem, 200)}. ` : ""}${detail}${off}`);
    sentences(lines);
    byId("experiments-page").dataset.trust = trusted ? "yes" : "no";
    const ended = known(e.ended) ? `, ended ${when(e.ended)}` : "";
    setText(byId("readout-experiments-verdict"), `${nameOf(e)}: ${stateOf(e).word}${ended}`);
    drawFacts(byId("experiments-facts"), facts(e));
    experiments.results.draw(e);
  }

  function draw() {
    const page = byId("experiments-page");
    page.dataset.state = problem ? (answer ? "stale" : "error") : !answer ? "loading" : one ? "shown" : "empty";
    page.dataset.has = one ? "yes" : "no";
    page.dataset.mode = one ? one.mode : "";
    const empty = Boolean(answer) && !list(answer.experiments).length;
    page.dataset.form = pyrometer.url.get("new") || empty ? "open" : "closed";
    byId("experiments-close").hidden = empty;
    byId("experiments-facts").hidden = !one;
    page.dataset.trust = "yes";
    if (one) drawOne(one);
    else drawNone();
    drawProgress(one);
    experiments.actions.draw(one);
    experiments.command.draw(one);
    experiments.form.draw(answer, one);
    if (answer) experiments.list.draw(answer);
  }

  /* Back, forward and our own changes: another one may be meant. */
  function change() {
    if (!answer) return;
    draw();
    const id = wanted();
    if (id !== (one ? one.id : missing)) load();
  }

  function wire() {
    byId("experiments-new").addEventListener("click", () => experiments.form.open());
    byId("experiments-close").addEventListener("click", () => {
      pyrometer.url.set({ new: null }, { push: true });
      byId("experiments-new").focus();
    });
    let width = 0;
    new ResizeObserver(() => {
      const now = byId("experiments-page").clientWidth;
      if (now && now !== width && isShown()) draw();
      width = now;
    }).observe(byId("experiments-page"));
    document.addEventListener("visibilitychange", () => !document.hidden && isShown() && !under && again());
  }

  (pyrometer.starters = pyrometer.starters || []).push(wire);
  experiments.facts = drawFacts;
  experiments.page = {
    load: refresh,
    took,
    shown: () => one,
    all: () => list(answer && answer.experiments),
    verdictOf: (e) => (part(verdicts.get(e.id)).state === e.state ? verdicts.get(e.id).words : ""),
    promotionOf: (model) => list(answer && answer.promotions).find((promotion) => promotion.model === model) || null,
  };
  pyrometer.pages.add("experiments", {
    enter: () => {
      draw();
      refresh();
    },
    change,
    leave: () => {
      clearTimeout(timer);
      if (under) under.abort();
      under = null;
    },
  });
})();
