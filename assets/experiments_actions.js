/* What can be done with the experiment that is shown, drawn from its `actions` alone: asked in
   place where it changes who answers, then told with figures. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId } = pyrometer.dom;
  const { number, count, known } = pyrometer.format;
  const { cut, part, nameOf, controlOf, candidatesOf, can, isGuard } = experiments.words;
  const PATH = "/performance/experiments";
  const LIMIT_MS = 120000; // a variant may have to be loaded first
  let busy = "";

  const each = (e) => `${count(part(e.progress).requests)} requests each`;
  const control = (e) => `${cut(controlOf(e).name, 40)} (${cut(controlOf(e).text, 80)})`;
  const short = (e) => {
    const { requests, needed } = part(e.progress);
    return known(needed) && requests < needed;
  };

  const isOut = (e, variant) => Boolean(variant.stopped) || (isGuard(e) && e.blamed === variant.name);

  function promoteText(e, variant) {
    const { requests, needed } = part(e.progress);
    const early = short(e) ? `Only ${count(requests)} of ${count(needed)} requests each are in. ` : "";
    const why = isOut(e, variant) ? "A guard rail stopped it. " : early;
    return `${why}Promote ${cut(variant.name, 40)}? From now on ${cut(variant.text, 80)} answers every request of ${cut(e.model, 60)}, without downtime; it can be undone.`;
  }

  const forced = (e, variant) => short(e) || isOut(e, variant);

  /* Each: verb, ask(e, variant) -> the question or null, body, and done(e, variant) -> title and words. */
  const ACTIONS = {
    start: {
      verb: "Start", doing: "Starting", ask: null, hint: "Begins to share out or to run beside, at once",
      done: (e) => ["Started", `${nameOf(e)}: ${e.mode === "shadow" ? "candidates run beside, control answers everybody" : "callers are shared out from now on"}`],
    },
    promote: {
      verb: "Promote", doing: "Promoting", ask: promoteText, hint: "It answers everybody from now on; can be undone",
      body: (e, variant) => ({ variant: variant.name, ...(forced(e, variant) ? { force: true } : {}) }),
      done: (e, variant) => [`Promoted ${cut(variant.name, 40)}`, `${cut(variant.text, 100)} answers every request of ${cut(e.model, 60)}, after ${each(e)}`],
    },
    stop: {
      verb: "Stop", doing: "Stopping", hint: "Control answers everybody at once; what was measured stays",
      ask: (e) => `Stop it after ${each(e)}? ${control(e)} answers everybody at once; what was measured stays${short(e) ? ", without a verdict" : ""}.`,
      done: (e) => ["Stopped", `${control(e)} answers everybody; ${each(e)} were measured`],
    },
    rollback: {
      verb: "Roll back", doing: "Rolling back", hint: "Ends it; control serves",
      ask: (e) => `Roll back? It ends, and ${control(e)} serves ${cut(e.model, 60)} from now on.`,
      done: (e) => ["Rolled back", `${control(e)} serves ${cut(e.model, 60)}; ${each(e)} were measured`],
    },
    delete: {
      verb: "Delete", doing: "Deleting", hint: "Forgets it and what it measured",
      ask: (e) => `Delete ${nameOf(e)} and what it measured? Links to it will find nothing. Who serves does not change.`,
      done: (e) => ["Deleted the experiment", `${nameOf(e)}, ${each(e)}`],
    },
  };

  /* Run one: host is where it is asked, a head or a row. */
  async function act(name, e, variant, host, tag) {
    const { ask, verb, doing, body, done } = ACTIONS[name];
    if (busy || host.classList.contains("confirming")) return;
    const label = variant ? `${verb} ${cut(variant.name, 40)}` : name === "delete" ? "Delete experiment" : verb;
    if (ask && !(await pyrometer.actions.confirmInPlace(host, tag, ask(e, variant), label))) return;
    busy = `${e.id} ${name}`;
    told();
    const began = performance.now();
    const progress = pyrometer.progress(`${doing} ${variant ? cut(variant.name, 40) : nameOf(e)}`);
    try {
      const path = `${PATH}/${encodeURIComponent(e.id)}/${name}`;
      const answer = await pyrometer.post(path, body ? body(e, variant) : {}, LIMIT_MS);
      const after = name === "delete" ? e : answer.id ? answer : e;
      const [title, words] = done(after, variant);
      progress.end("ok", title, `${words}; took ${number(performance.now() - began)} ms`);
      experiments.page.took(name === "delete" ? null : after, e.id);
    } catch (failure) {
      progress.end("critical", `${label} failed`, failure.message);
      experiments.page.load();
    } finally {
      busy = "";
      told();
    }
  }

  /* What served before a promotion serves again. */
  async function undo(model, text, before, host, tag) {
    if (busy || host.classList.contains("confirming")) return;
    const ask = `Undo the promotion? ${cut(before || "what model.toml says", 100)} answers every request of ${cut(model, 60)} again, without downtime.`;
    if (!(await pyrometer.actions.confirmInPlace(host, tag, ask, "Undo promotion"))) return;
    busy = `undo ${model}`;
    told();
    const began = performance.now();
    const progress = pyrometer.progress(`Undoing the promotion of ${cut(text, 60)}`);
    try {
      const answer = await pyrometer.post(`${PATH}/undo`, { model }, LIMIT_MS);
      progress.end("ok", `Undid the promotion of ${cut(text, 60)}`, `${cut(answer.text || `${before} serves ${model}`, 300)}; took ${number(performance.now() - began)} ms`);
    } catch (failure) {
      progress.end("critical", "Undo failed", failure.message);
    } finally {
      busy = "";
      told();
    }
    experiments.page.load();
  }

  // The buttons below the verdict

  const HOST = () => byId("experiments-actions");

  function button(verb, label, hint, press) {
    const node = pyrometer.tables.button(verb, label, press);
    node.classList.remove("btn-link");
    node.classList.add("experiments-act");
    node.title = hint;
    return node;
  }

  function buttonsOf(e) {
    const press = (name, variant) => () => act(name, experiments.page.shown(), variant, HOST(), "div");
    const nodes = [];
    const add = (name, variant) => {
      const { verb, hint } = ACTIONS[name];
      const words = variant ? `${verb} ${cut(variant.name, 40)}` : verb;
      const node = button(words, `${words}: ${nameOf(e)}`, hint, press(name, variant));
      node.dataset.action = name;
      if (variant) node.dataset.variant = cut(variant.name, 40);
      nodes.push(node);
    };
    if (can(e, "start")) add("start");
    if (can(e, "promote")) candidatesOf(e).forEach((variant) => add("promote", variant));
    if (can(e, "stop")) add("stop");
    if (can(e, "undo")) {
      const node = button("Undo promotion", `Undo the promotion of ${cut(e.promoted, 40)}`, "What served before serves again", () => {
        const inForce = experiments.page.promotionOf(e.model) || {};
        undo(e.model, e.promoted || inForce.text, inForce.before, HOST(), "div");
      });
      node.dataset.action = "undo";
      nodes.push(node);
    }
    if (can(e, "rollback")) add("rollback");
    if (e.state !== "running") {
      const adopt = () => experiments.form.adopt(experiments.page.shown());
      const again = button("Use its settings", `A new experiment with the settings of ${nameOf(e)}`, "Fills the form with what this one was asked", adopt);
      again.dataset.action = "again";
      nodes.push(again);
    }
    if (can(e, "delete")) add("delete");
    return nodes;
  }

  function told() {
    for (const node of HOST().querySelectorAll("button")) node.setAttribute("aria-disabled", String(Boolean(busy)));
  }

  function draw(e) {
    const host = HOST();
    const press = e ? experiments.words.told(e).press : [];
    const key = e ? JSON.stringify([e.id, e.state, e.actions, candidatesOf(e).map((one) => one.name), press]) : "";
    if (host.dataset.key === key) return;
    if (host.classList.contains("confirming") && host.dataset.key) {
      const asked = host.querySelector("[data-action=keep]");
      if (asked) asked.click(); // the question is not the one any more
    }
    host.dataset.key = key;
    host.replaceChildren(...(e ? buttonsOf(e) : []));
    for (const node of host.children) {
      const { action: name, variant } = node.dataset;
      node.classList.toggle("experiments-meant", name === "start" || press.some((one) => one.action === name && (!variant || cut(one.candidate, 40) === variant)));
    }
    told();
  }

  experiments.actions = { act, undo, draw };
})();
