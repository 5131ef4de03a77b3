/* The experiments that are kept, and the promotions in force: which one is shown, what serves since
   when, and what serves again after an undo. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText, setStatus } = pyrometer.dom;
  const { count, plural, known } = pyrometer.format;
  const { cut, part, list, nameOf, candidatesOf, when, can, stateOf, isGuard, mode, GUARDS } = experiments.words;
  const BLANK = "No experiment is kept yet. Create one above: it will be listed here with its progress and its verdict.";

  function plain(event, act) {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  function address(id) {
    const params = new URLSearchParams(location.search);
    params.delete("new");
    params.set("experiment", id);
    return `/experiments?${params}`;
  }

  function link(make) {
    const node = element("a", "cell-1 experiments-open");
    node.addEventListener("click", (event) => plain(event, () => show(make())));
    return node;
  }

  function show(id) {
    if (!id) return;
    pyrometer.url.set({ experiment: id, new: null }, { push: true });
    scrollTo({ top: 0, behavior: "instant" });
    byId("page").focus({ preventScroll: true });
  }

  // The list

  /* In words what an experiment of the list came to, as far as the list tells. */
  function outcome(e) {
    const known_ = experiments.page.verdictOf(e);
    if (e.state === "draft") return "not started";
    if (e.state === "running") return known(part(e.progress).needed) ? "hidden until its end" : known_ || "open it to look";
    if (e.state === "promoted") return `${cut(e.promoted, 40)} serves`;
    if (isGuard(e)) return `${cut(e.blamed, 40)}: ${GUARDS[e.stopped_by]}`;
    return known_ || cut(e.reason, 200) || "–";
  }

  function progress(e) {
    const { requests, needed, share } = part(e.progress);
    return { words: known(needed) ? `${count(requests)} of ${count(needed)}` : `${count(requests)} each`, share: known(share) ? Math.max(0, Math.min(1, share)) : null };
  }

  function newRow() {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = element("tr");
    const drop = button("Delete", "Delete", () => experiments.actions.act("delete", row.experiment, null, row, "td"));
    drop.dataset.action = "delete";
    const meter = element("div", "meter", element("div", "meter-fill"));
    row.append(
      cell("experiment", [link(() => row.experiment.id), element("div", "cell-2")]),
      cell("state", element("span", "state", [element("span", "mark"), element("span", "state-word")])),
      cell("mode", twoLines()),
      cell("progress", [element("div", "experiments-progress-words num"), meter]),
      cell("verdict"),
      cell("action", drop, "", true),
    );
    return row;
  }

  function fillRow(row, e) {
    const { titled } = pyrometer.tables;
    row.experiment = e;
    row.dataset.experiment = e.id;
    row.dataset.state = e.state;
    const shown = experiments.page.shown();
    if (shown && shown.id === e.id) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
    const open = row.querySelector(".experiments-open");
    titled(open, nameOf(e));
    open.href = address(e.id);
    titled(row.querySelector(".col-experiment .cell-2"), `${cut(e.model, 60)}, ${when(e.started || e.created)}`);
    const { status, word } = stateOf(e);
    setStatus(row.querySelector(".mark"), status);
    setText(row.querySelector(".state-word"), word);
    const [how, who] = row.querySelectorAll(".col-mode > div");
    titled(how, mode(e));
    titled(who, candidatesOf(e).map((one) => cut(one.name, 40)).join(", "));
    const { words, share } = progress(e);
    setText(row.querySelector(".experiments-progress-words"), words);
    row.querySelector(".meter").hidden = share === null;
    row.querySelector(".meter-fill").style.width = `${(100 * (share || 0)).toFixed(1)}%`;
    titled(row.querySelector(".col-verdict"), outcome(e));
    const drop = row.querySelector("[data-action=delete]");
    drop.hidden = !can(e, "delete");
    drop.setAttribute("aria-label", `Delete ${nameOf(e)}`);
  }

  // Promotions

  let running = new Map(); // model -> the experiment that splits or shadows its requests now

  function promotionRow() {
    const { cell, twoLines, button } = pyrometer.tables;
    const row = element("tr");
    const undo = button("Undo", "Undo", () => experiments.actions.undo(row.promotion.model, row.promotion.text, row.promotion.before, row, "td"));
    undo.dataset.action = "undo";
    row.append(
      cell("model"),
      cell("serves", [element("div", "cell-1 state", [element("span", "mark"), element("span", "state-word")]), element("div", "cell-2")]),
      cell("before", "", "before"),
      cell("experiment", [link(() => row.promotion.experiment), element("div", "cell-2")]),
      cell("action", undo, "", true),
    );
    return row;
  }

  /* What a promotion put in place is not all that answers while an experiment runs on it. */
  function meanwhile(model) {
    const e = running.get(model);
    if (!e) return "";
    return e.mode === "shadow" ? `; ${nameOf(e)} runs beside it now` : `; ${nameOf(e)} splits its requests now`;
  }

  function fillPromotion(row, one) {
    const { titled } = pyrometer.tables;
    row.promotion = one;
    row.dataset.model = cut(one.model, 128);
    titled(row.querySelector(".col-model"), cut(one.model, 80));
    setStatus(row.querySelector(".mark"), "ok");
    titled(row.querySelector(".state-word"), cut(one.text, 120));
    titled(row.querySelector(".col-serves .cell-2"), `as ${cut(one.variant, 40)}, since ${when(one.at)}${meanwhile(one.model)}`);
    titled(row.querySelector(".col-before"), cut(one.before || "as model.toml says", 120));
    const open = row.querySelector(".experiments-open");
    titled(open, cut(one.name, 80) || "–");
    if (one.experiment) open.href = address(one.experiment);
    else open.removeAttribute("href");
    row.querySelector("[data-action=undo]").setAttribute("aria-label", `Undo the promotion on ${cut(one.model, 80)}`);
  }

  function draw(answer) {
    const kept = list(answer.experiments);
    pyrometer.tables.fillTables("list", kept, (e) => e.id, newRow, fillRow, BLANK);
    const { kept: limit, used } = part(answer.limits);
    const full = known(limit) && used >= limit ? "; delete one to create another" : "";
    setText(byId("readout-experiments-list"), known(limit) ? `${count(used)} of ${count(limit)} kept${full}` : "");
    const promotions = list(answer.promotions);
    running = new Map(kept.filter((e) => e.state === "running").map((e) => [e.model, e]));
    byId("experiments-page").dataset.promotions = promotions.length ? "some" : "none";
    pyrometer.tables.fillTables("promotions", promotions, (one) => one.model, promotionRow, fillPromotion, "");
    setText(byId("readout-experiments-promotions"), promotions.length ? `${plural(promotions.length, "model")} served otherwise than model.toml says` : "");
  }

  experiments.list = { draw, show };
})();
