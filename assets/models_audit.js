/* What audits of served rows found of the model that is shown: do its answers agree with the model
   as it is, and is it still as fast as its plan says. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const models = (pyrometer.models = pyrometer.models || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, count, known, plural, clock } = pyrometer.format;
  const PATH = "/performance/effectiveness";
  const REFRESH_MS = 5000;
  const LEAST_PERCENT = 50;
  let askedAt = -Infinity;
  let shown = ""; // what the panel was drawn from
  let current = null;

  const times = (speed) => `${number(speed)}×`;
  const microseconds = (us) => (us >= 999.5 ? `${number(us / 1000)} ms` : `${number(us)} µs`);

  function status(audit) {
    if (!audit.recent.audits) return "unknown";
    if (audit.judged && audit.recent.differing) return "critical";
    return known(audit.recent.speed_percent) && audit.recent.speed_percent < LEAST_PERCENT ? "warning" : "ok";
  }

  function sentence(told) {
    const { recent, judged, problem } = told.audit;
    if (!recent.audits) return problem ? `No audit has come to an end yet: ${problem}.` : "No served rows were run again yet: the first will be, some seconds after its first requests.";
    const rows = `${plural(recent.rows, "row")} re-run by ${told.oracle}, ${recent.differing ? count(recent.differing) : "0"} differ`;
    const allowed = !judged && recent.differing ? ", as its accuracy budget allows" : "";
    const speed = known(recent.served_speedup) ? `; ${times(recent.served_speedup)} faster now, ${times(recent.planned_speedup)} when planned` : "";
    return `${rows}${allowed}${speed}.`;
  }

  function facts(told) {
    const { audit } = told;
    const { recent } = audit;
    const largest = known(recent.largest) ? (recent.largest === 0 ? "none" : recent.largest.toExponential(1)) : recent.audits ? "a label, or without bound" : "–";
    const list = [
      ["Last audit", known(audit.last) ? `${clock(audit.last)}, ${plural(audit.audits, "audit")} since it was loaded` : "–"],
      ["Largest difference", `${largest}${recent.audits && known(told.tolerance) ? `, tolerance ${told.tolerance.toExponential(0)}` : ""}`],
      ["A run, as it is", known(recent.oracle_us) ? microseconds(recent.oracle_us) : "–"],
      ["A run, as served", known(recent.served_us) ? `${microseconds(recent.served_us)} as ${audit.form}` : "–"],
      ["In a process of its own", known(recent.alone_us) ? `${microseconds(recent.alone_us)}, ${times(recent.alone_speedup)}` : "–"],
      ["With all beside it", known(recent.taken_us) ? `${microseconds(recent.taken_us)} a run` : "–"],
      ["Planned speed kept", known(recent.speed_percent) ? `${number(recent.speed_percent)} %` : "after 5 audits"],
      ["Saved by its plan", told.saved_hour_s && told.saved_hour_s.plan ? `${pyrometer.caches.took(told.saved_hour_s.plan * 1000)} in the last hour` : "–"],
    ];
    return element("dl", "audit-facts", list.map(([term, words]) => element("div", "", [element("dt", "", term), element("dd", "num", words)])));
  }

  function examples(audit) {
    if (!audit.examples.length) return "";
    const items = audit.examples.map((one) => {
      const size = known(one.difference) ? `by ${one.difference.toExponential(1)}` : "in its label";
      return element("li", "num", `${clock(one.time)}: row ${one.digest}, ${one.output} differs ${size}`);
    });
    return element("ul", "audit-examples", items);
  }

  function nodes(told) {
    if (!told.audited) return [element("p", "model-words", `Not checked: ${told.why_not}.`)];
    const mark = element("span", "mark");
    mark.dataset.status = status(told.audit);
    mark.setAttribute("aria-hidden", "true");
    const failed = told.audit.failed ? `${plural(told.audit.failed, "audit")} came to no end${told.audit.problem ? `, the last: ${told.audit.problem}` : ""}.` : "";
    return [
      element("p", "audit-words", [mark, element("span", "", sentence(told))]),
      facts(told), examples(told.audit), failed ? element("p", "audit-note", failed) : "",
    ].filter(Boolean);
  }

  function fill(told, one) {
    const key = JSON.stringify(told);
    if (key === shown || one !== current) return;
    shown = key;
    byId("model-audit").replaceChildren(...nodes(told));
    byId("panel-model-audit").dataset.status = told.audited ? status(told.audit) : "unknown";
  }

  async function ask(one) {
    askedAt = performance.now();
    try {
      const answer = await models.get(PATH);
      const version = one.row ? one.row.version : one.version;
      const told = answer.models.find((row) => row.model === one.name && row.version === version);
      if (told) fill(told, one);
      setText(byId("readout-model-audit"), "");
    } catch (failure) {
      if (one === current) setText(byId("readout-model-audit"), `not refreshed: ${failure.message}`);
    }
  }

  (models.parts = models.parts || []).push({
    draw: () => undefined,
    clear: (one) => {
      current = one;
      shown = "";
      askedAt = -Infinity;
      byId("model-audit").replaceChildren(element("p", "model-words", "Asking what audits found"));
      setText(byId("readout-model-audit"), "");
    },
    tick: (one) => {
      if (one.row && !document.hidden && performance.now() - askedAt >= REFRESH_MS) ask(one);
    },
  });
})();
