/* What servers share by Redis: its row among the tiers, and the panel below them. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, setText, setStatus } = pyrometer.dom;
  const { number, count, known } = pyrometer.format;
  const STATES = { closed: ["ok", "asked"], open: ["warning", "not asked"], "half-open": ["unknown", "probed"] };

  const ms = (value) => (known(value) ? `${number(value)} ms` : "–");

  function fillSharedState(row, shared, word, second) {
    const [status, words] = STATES[shared.state] || ["unknown", shared.state];
    setStatus(row.querySelector(".mark"), status);
    setText(word, words);
    setText(second, known(shared.p99_ms) ? `p99 ${ms(shared.p99_ms)}` : "");
    row.querySelector(".col-state").title = shared.problem || "";
  }

  /* Each figure and the note below it. */
  function figuresOf(shared) {
    return {
      lookups: [ms(shared.p50_ms), `p99 ${ms(shared.p99_ms)} of ${number(shared.budget_ms)} ms`],
      ended: [count(shared.timeouts + shared.errors + shared.busy), `${count(shared.timeouts)} late, ${count(shared.errors)} failed, ${count(shared.busy)} none free`],
      connections: [`${count(shared.connections)} of ${count(shared.connections_limit)}`, `${count(shared.connections_used)} in use`],
      written: [count(shared.written), `${count(shared.dropped)} dropped, ${count(shared.rejected)} too large`],
      queued: [count(shared.queued), `of ${count(shared.queue_limit)}`],
      runs: [`${count(shared.led)}, ${count(shared.found)}`, `${count(shared.lapsed)} not in time`],
      epoch: [count(shared.epoch), shared.owed ? `${count(shared.owed)} owed` : "all told"],
      circuit: [count(shared.opened), shared.state],
    };
  }

  function sentence(shared) {
    if (shared.state === "closed") return `${shared.url}: results of runs on CPU slots are looked for in memory, on disk, then there.`;
    return `${shared.url} is not asked: ${shared.problem || "it has not answered yet"}. Each server computes alone until it answers again.`;
  }

  function drawShared(shared) {
    caches.shares = Boolean(shared);
    byId("caches-shared").hidden = !shared;
    if (!shared) return;
    setText(byId("caches-shared-words"), sentence(shared));
    for (const [name, [value, note]] of Object.entries(figuresOf(shared))) {
      setText(document.querySelector(`[data-shared=${name}]`), value);
      const below = document.querySelector(`[data-shared-note=${name}]`);
      setText(below, note);
      below.title = note;
    }
  }

  Object.assign(caches, { fillSharedState, drawShared });
})();
