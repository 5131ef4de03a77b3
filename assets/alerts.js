/* Alerts: a row each; a dialog to acknowledge or silence one; a dialog to edit the rules, which
   first shows on history what they would have done. Whoever acts gives a name. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { clock, count, day, duration, number, percent, plural, known } = pyrometer.format;
  const LIMIT_MS = 30000;
  const NAME_KEY = "pyrometer-name";
  const SILENCES = { "15m": "15 minutes", "1h": "1 hour", "8h": "8 hours", "1d": "1 day", "7d": "7 days" };
  const FIRES = new Set(["firing", "recovering"]);
  const words = (state) => state.replace("_", " ");

  /* Nothing measured and nothing wrong look different; only what fires is coloured. */
  function statusOf(alert) {
    if (FIRES.has(alert.state)) return alert.severity;
    return ["inactive", "resolved"].includes(alert.state) ? "ok" : "unknown";
  }

  function button(verb, title, press) {
    const node = element("button", "action btn btn-sm btn-link", verb);
    node.type = "button";
    node.title = title;
    node.addEventListener("click", () => press(node));
    return node;
  }

  function newRow() {
    const mark = element("span", "mark");
    const name = element("div", "cell-1", [mark, element("span", "alert-name")]);
    const row = element("tr", "", [
      element("td", "col-alert", [name, element("div", "cell-2")]),
      element("td", "col-state"),
      element("td", "col-value"),
      element("td", "col-since num text-end"),
      element("td", "col-action text-end", button("Open", "Acknowledge, silence, history", (b) => openAlert(row.alert, b))),
    ]);
    return row;
  }

  function fill(row, alert) {
    row.alert = alert;
    row.dataset.alert = alert.key;
    row.dataset.state = alert.state;
    setStatus(row.querySelector(".mark"), statusOf(alert));
    setText(row.querySelector(".alert-name"), alert.name.replaceAll("_", " "));
    setText(row.querySelector(".cell-2"), alert.severity);
    const more = alert.silenced ? ", silenced" : alert.acknowledged ? `, seen by ${alert.acknowledged.author}` : "";
    setText(row.querySelector(".col-state"), words(alert.state) + more);
    const value = row.querySelector(".col-value");
    setText(value, alert.text);
    value.title = alert.description || alert.text;
    setText(row.querySelector(".col-since"), known(alert.for_s) ? duration(alert.for_s) : "");
  }

  const fillRows = (kind, alerts, blank) =>
    pyrometer.tables.fillTables(kind, alerts, (alert) => alert.key, newRow, fill, blank);
  const firingOf = (alerts) => alerts.filter((alert) => FIRES.has(alert.state)).length;

  function inWords(alerts) {
    const firing = firingOf(alerts);
    return firing ? `${firing} firing of ${alerts.length}` : `none firing of ${alerts.length}`;
  }

  function draw(state) {
    const alerts = state.answer.alerts || [];
    fillRows("alerts", alerts, "No rules: nothing is watched");
    setText(byId("readout-alerts"), inWords(alerts));
    const history = state.answer.history;
    if (!history || history.recording) return;
    setText(byId("empty-alerts"), `History is not recorded: ${history.problem}`);
    byId("empty-alerts").hidden = false;
  }

  /* On the Live page only what fires, is about to or has just ended. */
  function drawFiring(state) {
    const alerts = state.answer.alerts || [];
    const telling = alerts.filter((alert) => FIRES.has(alert.state) || ["pending", "resolved", "error"].includes(alert.state));
    telling.sort((a, b) => FIRES.has(b.state) - FIRES.has(a.state));
    const quiet = alerts.length ? `Nothing fires; ${plural(alerts.length, "alert")} watched` : "No rules: nothing is watched";
    fillRows("firing", telling, quiet);
    setText(byId("readout-firing"), inWords(alerts));
  }

  function objectiveRow() {
    const { cell, twoLines } = pyrometer.tables;
    const meter = element("div", "meter", element("div", "meter-fill"));
    return element("tr", "", [
      cell("objective", twoLines()),
      cell("good", "", "good", true),
      cell("budget", [element("div", "bytes-words"), meter]),
      cell("requests", "", "requests", true),
      cell("burn"),
    ]);
  }

  /* Whole days or hours, as windows are. */
  const span = (seconds) => (seconds % 86400 ? duration(seconds).replace(" 0 min", "") : `${seconds / 86400} d`);
  const burnWords = (burn) => `${number(burn.long_burn)}x in ${span(burn.long_s)}`;

  function fillObjective(row, slo) {
    const [name, target] = row.querySelectorAll(".col-objective > div");
    setText(name, slo.name.replaceAll("_", " "));
    const within = slo.threshold_ms ? ` within ${number(slo.threshold_ms)} ms` : "";
    setText(target, `${slo.objective_percent} % good${within} over ${span(slo.window_s)}`);
    setText(row.querySelector(".col-good"), known(slo.good_percent) ? `${percent(slo.good_percent)} %` : "–");
    const left = slo.budget_left_percent;
    setText(row.querySelector(".bytes-words"), known(left) ? `${number(left)} %` : "no requests yet");
    const fill = row.querySelector(".meter-fill");
    fill.style.width = `${known(left) ? Math.max(0, Math.min(100, left)).toFixed(1) : 0}%`;
    setText(row.querySelector(".col-requests"), count(slo.requests));
    setText(row.querySelector(".col-burn"), slo.burns.map(burnWords).join(", "));
  }

  function drawObjectives(state) {
    const blank = "No objectives. An [[slo]] in the alert rules appears here with its error budget.";
    pyrometer.tables.fillTables("objectives", state.answer.slos || [], (slo) => slo.name, objectiveRow, fillObjective, blank);
  }

  function dialog(title, body, foot, from) {
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const heading = element("h2", "plan-title", title);
    heading.id = "alert-title";
    const node = element("dialog", "plan", [
      element("header", "plan-head", [heading, close]),
      element("div", "plan-body", body),
      element("div", "plan-foot", foot),
    ]);
    node.id = "alert-dialog";
    node.setAttribute("aria-labelledby", "alert-title");
    close.addEventListener("click", () => node.close());
    node.addEventListener("click", (event) => event.target === node && node.close());
    node.addEventListener("close", () => {
      node.remove();
      if (from.isConnected) from.focus();
    });
    document.body.append(node);
    node.showModal();
    return node;
  }

  function field(label, control, id) {
    control.id = id;
    control.dataset.label = label.replace(/ \(.*/, "");
    const words = element("label", "alert-label", control.required ? `${label} (required)` : label);
    words.htmlFor = id;
    const wrong = element("div", "alert-wrong");
    wrong.id = `${id}-wrong`;
    control.setAttribute("aria-describedby", wrong.id);
    return element("div", "alert-field", [words, control, wrong]);
  }

  /* Whether all of them say something; the first that does not is focused, each says what it wants. */
  function filled(controls) {
    const empty = controls.filter((one) => !one.value.trim());
    for (const one of controls) {
      const lacks = empty.includes(one);
      one.setAttribute("aria-invalid", String(lacks));
      setText(byId(`${one.id}-wrong`), lacks ? `${one.dataset.label} is empty` : "");
    }
    if (empty.length) empty[0].focus();
    else remember(byId("alert-author").value);
    return !empty.length;
  }

  function nameInput() {
    const input = element("input", "form-input");
    input.maxLength = 80;
    input.required = true;
    input.autocomplete = "name";
    try { input.value = localStorage.getItem(NAME_KEY) || ""; } catch (refused) { input.value = ""; }
    return input;
  }

  function remember(name) {
    try { localStorage.setItem(NAME_KEY, name); } catch (refused) { /* it is asked for again */ }
  }

  async function act(node, what, url, body, after) {
    node.setAttribute("aria-disabled", "true");
    try {
      const answer = await pyrometer.post(url, body, LIMIT_MS);
      pyrometer.dropToasts(`${what} failed`);
      pyrometer.toast("ok", what, answer.text || "Done");
      if (after) after(answer);
    } catch (failure) {
      pyrometer.toast("critical", `${what} failed`, failure.message);
    }
    node.removeAttribute("aria-disabled");
    pyrometer.poll();
  }

  async function overview() {
    const response = await fetch("/performance/alerts", { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return response.json();
  }

  function past(events) {
    if (!events.length) return element("p", "plan-facts", "Nothing has happened to it in 30 days.");
    const lines = events.slice(0, 50).map((event) => element("li", "", [
      element("time", "num", `${day(event.t)} ${clock(event.t)}`),
      element("span", "event-kind", words(event.state)),
      element("span", "event-text", event.text),
    ]));
    return element("ul", "events alert-past", lines);
  }

  function openAlert(alert, from) {
    const author = nameInput();
    const reason = element("input", "form-input");
    reason.maxLength = 300;
    const scope = element("select", "form-input", [["one", `${alert.severity} only`], ["both", "both severities"]].map(([value, label]) => {
      const option = element("option", "", label);
      option.value = value;
      return option;
    }));
    const length = element("select", "form-input", Object.entries(SILENCES).map(([value, label]) => {
      const option = element("option", "", label);
      option.value = value;
      return option;
    }));
    const happened = element("div", "", element("p", "plan-facts", "Reading its history"));
    const silenced = element("div");
    const body = [
      element("p", "plan-why", alert.text),
      element("p", "plan-facts", [alert.description, `State: ${words(alert.state)}.`].filter(Boolean).join(". ")),
      silenced,
      field("Your name", author, "alert-author"),
      field("Reason (required for a silence)", reason, "alert-reason"),
      field("Silence for", length, "alert-length"),
      field("Silence", scope, "alert-scope"),
      happened,
    ];
    const see = button("Acknowledge", "Somebody looks at it: it is not told again while it fires", (node) => {
      if (!filled([author])) return;
      act(node, `Acknowledge ${alert.name}`, "/performance/alerts/acknowledge",
        { alert: alert.key, author: author.value, note: reason.value }, () => node.closest("dialog").close());
    });
    see.disabled = !FIRES.has(alert.state);
    const silence = button("Silence", "Tells nobody until then; it stays visible here", (node) => {
      if (!filled([author, reason])) return;
      const rule = scope.value === "both" ? alert.name : alert.key;
      act(node, `Silence ${alert.name}`, "/performance/alerts/silence",
        { rule, for: length.value, author: author.value, reason: reason.value }, () => node.closest("dialog").close());
    });
    for (const node of [see, silence]) node.dataset.needs = "operate";
    dialog(`${alert.name.replaceAll("_", " ")}, ${alert.severity}`, body, [see, silence], from);
    overview().then((answer) => {
      happened.replaceChildren(past(answer.history.filter((event) => event.rule === alert.name && event.severity === alert.severity)));
      silenced.replaceChildren(...answer.silences.filter((one) => [alert.name, alert.key].includes(one.rule)).map((one) =>
        element("p", "plan-degraded", [
          `Silenced until ${day(one.until)} ${clock(one.until)} by ${one.author}: ${one.reason} `,
          button("End it", "Tells people again", (node) => act(node, "End the silence",
            "/performance/alerts/unsilence", { id: one.id }, () => node.closest("p").remove())),
        ])));
    }, (failure) => happened.replaceChildren(element("p", "plan-facts", `Its history could not be read: ${failure.message}`)));
  }

  function previewed(answer) {
    const lines = answer.alerts.map((alert) => {
      const first = alert.spans.length ? `, last at ${day(alert.spans.at(-1)[0])} ${clock(alert.spans.at(-1)[0])}` : "";
      const seen = alert.measured_percent < 1 ? "nothing was measured" : `fired ${plural(alert.fired, "time")}${first}`;
      return element("li", "", [element("span", "event-kind", alert.key), element("span", "event-text", seen)]);
    });
    return [
      element("p", "plan-why", `In the last ${duration(answer.window_s)}: ${answer.text}.`),
      element("ul", "events alert-past", lines),
    ];
  }

  async function openRules() {
    const from = byId("edit-rules");
    const text = element("textarea", "alert-rules num");
    text.spellcheck = false;
    const author = nameInput();
    const shown = element("div");
    const send = (node, what, url, after) => act(node, what, url,
      url.endsWith("preview") ? { rules: text.value, window: "1d" } : { rules: text.value, author: author.value }, after);
    const preview = button("Preview on the last day", "Shows when these rules would have fired; nothing changes",
      (node) => send(node, "Preview", "/performance/alerts/preview", (answer) => shown.replaceChildren(...previewed(answer))));
    const save = button("Replace rules", "These rules are evaluated from now on, and kept", (node) => {
      if (filled([author])) send(node, "Replace rules", "/performance/alerts/rules");
    });
    const test = button("Test notification", "Sends a test to every destination",
      (node) => act(node, "Test notification", "/performance/alerts/test", {}));
    for (const node of [save, test]) node.dataset.needs = "operate";
    const where = element("p", "plan-facts");
    dialog("Alert rules", [
      field("Rules, TOML", text, "alert-rules-text"), field("Your name", author, "alert-author"), where, shown,
    ], [preview, save, test], from);
    try {
      const answer = await overview();
      text.value = answer.rules;
      const to = answer.notifications.destinations.join(", ") || "nowhere";
      where.textContent = `Notifications go to ${to}. ${answer.problem || ""}`;
    } catch (failure) {
      where.textContent = `The rules could not be read: ${failure.message}`;
    }
  }

  pyrometer.pages.add("alerts", { draw });
  pyrometer.pages.add("alerts", { draw: drawObjectives });
  pyrometer.pages.add("live", { draw: drawFiring });
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("edit-rules").addEventListener("click", openRules);
  });
})();
