/* Recommendations: evidence, what it would save, and a button where it can be applied. What was
   applied stays said in its place until the next report no longer recommends it. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const reports = (pyrometer.reports = pyrometer.reports || {});
  const { byId, element, setText } = pyrometer.dom;
  const { number, known, plural } = pyrometer.format;
  const LIMIT_MS = 600000;
  const LEAD = { estimate: "about ", "at most": "at most ", unknown: "" };
  /* What a recommendation may ask the server to do. */
  const ALLOWED = [
    /^\/performance\/warmup$/, /^\/performance\/models\/[^/]+\/pin$/, /^\/v2\/repository\/models\/[^/]+\/load$/,
    /^\/performance\/cache\/clear$/, /^\/performance\/reports\/measure$/,
  ];
  const told = new Map(); // recommendation id -> what applying it did

  function hourly(ms) {
    const [value, unit] = ms < 1000 ? [ms, "ms"] : ms < 3.6e6 ? [ms / 1000, "s"] : [ms / 3.6e6, "h"];
    return `${number(value)} ${unit} in an hour of such traffic`;
  }

  function savingWords({ ms_per_hour: ms, kind, text }) {
    const lead = LEAD[kind] || "";
    const words = reports.short(text, 200);
    const said = words.startsWith(lead.trim()) ? words : `${lead}${words}`;
    return known(ms) && ms > 0 ? `${said}; ${hourly(ms)}` : said;
  }

  function evidence(facts) {
    return element("ul", "reports-evidence", facts.map((fact) => {
      const item = element("li", "", [
        element("span", "", `${reports.short(fact.label, 120)} `), element("b", "num", reports.amount(fact)),
      ]);
      item.title = reports.howOf(fact);
      return item;
    }));
  }

  async function apply(one, button) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const { verb, path, body } = one.action;
    if (path === `${reports.PATH}/measure`) return void reports.measure();
    button.setAttribute("aria-disabled", "true");
    const words = reports.short(verb, 80);
    const what = { key: `advice ${one.id}`, doing: words, done: words, failed: `${words} failed` };
    const answer = await pyrometer.actions.run(what, async () => {
      const done = await pyrometer.post(path, body, LIMIT_MS);
      return { text: reports.short(done.text || "done") };
    });
    button.setAttribute("aria-disabled", "false");
    if (answer) told.set(one.id, answer.text);
    reports.load();
  }

  function actionOf(one) {
    const { action } = one;
    if (!action) return element("p", "reports-apply muted", "Nothing to press: it is for whoever calls, or for the model's folder.");
    if (action.setting) {
      return element("p", "reports-apply", [
        "Needs a restart with ", element("code", "", reports.short(`${action.variable}=${action.value}`, 120)),
      ]);
    }
    if (!ALLOWED.some((path) => path.test(action.path))) return element("p", "reports-apply muted", reports.short(action.verb, 80));
    const button = element("button", "chip reports-press", reports.short(action.verb, 80));
    button.type = "button";
    button.dataset.advice = reports.short(one.id, 120);
    button.addEventListener("click", () => apply(one, button));
    return element("p", "reports-apply", button);
  }

  function item(one) {
    const done = told.get(one.id);
    const node = element("li", "reports-item", [
      element("h3", "reports-item-title", reports.short(one.title, 160)),
      element("p", "reports-why", reports.short(one.why)),
      one.evidence.length ? evidence(one.evidence) : "",
      element("p", "reports-saving", [element("span", "muted", "Saves "), savingWords(one.saving)]),
      done ? element("p", "reports-done", reports.short(done)) : "",
      actionOf(one),
    ]);
    node.dataset.key = one.id;
    return node;
  }

  /* Made anew only where it says something else, so that a focus or a selection stays. */
  function drawAdvice(report) {
    const list = byId("reports-advice");
    const found = report.recommendations;
    for (const id of [...told.keys()]) if (!found.some((one) => one.id === id)) told.delete(id);
    const shape = JSON.stringify([found, [...told]]);
    const none = byId("empty-reports-advice");
    none.hidden = found.length > 0;
    setText(none, "Nothing to recommend: no rule found anything in these figures.");
    byId("panel-reports-advice").title = report.left_out || "";
    if (report.left_out) none.textContent += ` ${reports.short(report.left_out, 300)}`;
    setText(byId("readout-reports-advice"), found.length ? `${plural(found.length, "recommendation")}, the largest saving first` : "");
    if (list.shape === shape) return;
    list.shape = shape;
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.advice : null;
    list.replaceChildren(...found.map(item));
    const again = focused && [...list.querySelectorAll("button")].find((button) => button.dataset.advice === focused);
    if (again) again.focus();
  }

  Object.assign(reports, { drawAdvice });
})();
