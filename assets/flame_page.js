/* The Flame graph page: asks for what the address says, draws it, and says how it stands.

   The address is the only state. A change of what the server is asked asks anew; a change of
   zoom, search, widths or order only draws. While the range rolls and nothing is looked at
   closely, the page asks again every REFRESH_MS. data-state: loading, shown, empty, error,
   stale (the last answer stands, greyed). */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, count, known, duration, plural } = pyrometer.format;
  const REFRESH_MS = 10000;
  const MEASURES = { cpu: "CPU time", wall: "wall time", samples: "samples" };
  let panel = null;
  let answer = null;
  let asked = ""; // the query of the answer that is shown or under way
  let drawn = {}; // the keys of the address that the drawing holds
  let under = null; // AbortController of the question under way
  let finishedAt = 0; // milliseconds of performance.now()

  const shown = () => pyrometer.router.current() === "flame";
  const params = () => pyrometer.url.all();
  const isPhases = (now) => now.view === "phases";

  function become(state) {
    byId("flame-page").dataset.state = state;
  }

  function note(...content) {
    byId("flame-note").replaceChildren(...content.map((part) => (typeof part === "string" ? element("p", "", part) : part)));
  }

  function button(words, press) {
    const node = element("button", "chip", words);
    node.type = "button";
    node.addEventListener("click", press);
    return node;
  }

  // What is asked

  async function load() {
    if (under) under.abort();
    const mine = (under = new AbortController());
    const now = params();
    asked = flame.state.address(now);
    if (answer && (answer.view === "phases") !== isPhases(now)) answer = null;
    byId("flame-page").dataset.asking = "true";
    if (!answer) become("loading");
    try {
      const got = await flame.state.ask(asked, mine.signal);
      if (mine.signal.aborted) return;
      answer = got;
      draw();
    } catch (failure) {
      if (!mine.signal.aborted) failed(failure);
    } finally {
      if (under === mine) {
        under = null;
        finishedAt = performance.now();
        byId("flame-page").dataset.asking = "false";
      }
    }
  }

  function failed(failure) {
    const again = button("Try again", load);
    if (answer && failure.status === undefined) {
      become("stale");
      byId("flame-asof").replaceChildren(
        element("span", "", `Stale: ${failure.message}. These are the samples as of ${clock(answer.window.to)}.`), again);
      return;
    }
    answer = null;
    become("error");
    flame.top.clear();
    setText(byId("flame-asof"), "");
    const whole = Object.keys(params()).some((key) => [...flame.state.FILTERS, ...flame.state.AGAINST, "focus"].includes(key));
    note(`The flame graph could not be read: ${failure.message}.`, "The other pages go on.", again,
      ...(whole ? [button("Clear all filters", clearFilters)] : []));
  }

  function clearFilters() {
    const keys = [...flame.state.FILTERS, ...flame.state.AGAINST, "focus", "zoom"];
    pyrometer.url.set(Object.fromEntries(keys.map((key) => [key, null])), { push: true });
  }

  // What is drawn

  function modelsOf(now) {
    if (isPhases(now)) return { main: flame.model.ofPhases(answer) };
    if (!answer.focus) return { main: flame.model.ofCode(answer) };
    return {
      callers: flame.model.ofCode(answer, answer.focus.callers),
      callees: flame.model.ofCode(answer, answer.focus.callees),
      name: String(answer.focus.label),
    };
  }

  const isEmpty = (now) => (isPhases(now)
    ? !answer.ids.length || !answer.values.some((value) => value > 0)
    : !answer.nodes.parent.length && !answer.focus);

  function draw() {
    const now = params();
    flame.controls.show(now, answer, flame.captures.held.captures);
    const compared = flame.model.isCompared(answer);
    byId("flame-page").dataset.compared = String(compared);
    byId("flame-widths").hidden = !compared;
    byId("flame-widths").value = now.widths || "now";
    if (isEmpty(now)) return empty(now);
    become("shown");
    const kind = isPhases(now) ? "heat" : compared ? "diff" : "module";
    const what = isPhases(now) ? "Time of requests" : `Flame graph of ${MEASURES[answer.measure] || answer.measure}`;
    panel.path = now.zoom || "";
    panel.query = now.q || "";
    panel.show(modelsOf(now), {
      kind, what, against: flame.state.against(now, answer), widths: now.widths || "now",
    });
    drawn = now;
    if (isPhases(now)) flame.top.clear();
    else flame.top.draw(answer, now);
    focusChip(now);
    asOf(now);
  }

  function focusChip(now) {
    const chip = byId("flame-unfocus");
    chip.hidden = !now.focus;
    setText(chip, "Back to the whole graph");
    if (answer.focus) chip.title = `Shown: ${String(answer.focus.label).slice(0, 300)}`;
  }

  const tenths = (value) => String(Number(value.toFixed(1)));

  function empty(now) {
    become("empty");
    flame.top.clear();
    asOf(now);
    const sampler = flame.captures.held.sampler;
    const hz = sampler ? sampler.hz : (answer.rate && answer.rate.asked_hz);
    if (isPhases(now)) return note("No requests in this window: their phases will appear here.");
    if (hz === 0 && !now.capture) {
      return note("The profiler is off. Start the server with it to see which code runs:", curl("pyrometer serve --profile-hz 29"));
    }
    const rate = known(hz) ? `The profiler runs at ${tenths(hz)} Hz; ` : "";
    const filtered = flame.state.FILTERS.some((key) => now[key]);
    return note(
      filtered ? "No samples in this window with these filters." : "No samples in this window.",
      `${rate}a thread that works appears here within ${known(hz) && hz > 0 ? duration(Math.max(1, 60 / hz)) : "seconds"}.`,
      ...(filtered ? [button("Clear all filters", clearFilters)] : []));
  }

  function curl(words) {
    return element("div", "curl", element("code", "", words));
  }

  function asOf(now) {
    const parts = [`as of ${clock(answer.window.to)}`];
    const { rate, sampled, window: seen } = answer;
    if (rate && known(rate.asked_hz)) {
      parts.push(`${tenths(rate.asked_hz)} Hz asked`);
      if (known(rate.achieved_hz)) parts.push(`${tenths(rate.achieved_hz)} reached`);
      if (known(rate.missed)) parts.push(`${count(rate.missed)} ${rate.missed === 1 ? "tick" : "ticks"} missed`);
    }
    if (sampled) parts.push(`${count(sampled.samples)} ${sampled.samples === 1 ? "sample" : "samples"}`);
    if (!now.capture && known(seen.covered_s) && seen.covered_s < 0.95 * (seen.to - seen.from)) {
      parts.push(`${duration(seen.covered_s)} of ${duration(seen.to - seen.from)} covered`);
    }
    if (answer.left_out) parts.push(`${count(answer.left_out)} of the smallest boxes left out`);
    if (isPhases(now) && answer.ids.length) parts.push(plural(answer.counts[Math.max(0, answer.parents.indexOf(""))], "request"));
    const compared = answer.against ? `; ${flame.state.compared(now, answer)}` : "";
    byId("flame-asof").replaceChildren(element("span", "", `${parts.join(", ")}${compared}`),
      element("span", "muted", pyrometer.time.span(seen.from, seen.to)));
  }

  /* A link from elsewhere may say from and to: they become the console's range. */
  function adopt(now) {
    if (!now.from || !now.to) return false;
    pyrometer.url.set({ range: flame.state.rangeOf(Number(now.from), Number(now.to)), from: null, to: null });
    return true;
  }

  /* The address has changed: ask where the question is another, else draw what differs. */
  function follow(now) {
    if (adopt(now)) return;
    flame.captures.offerDelete();
    if (flame.state.address(now) !== asked) {
      flame.controls.show(now, answer, flame.captures.held.captures);
      load();
      return;
    }
    if (!answer || under || byId("flame-page").dataset.state === "empty") return; // draw() will
    flame.controls.show(now, answer, flame.captures.held.captures);
    if (now.q !== drawn.q) panel.search(now.q || "");
    if (now.widths !== drawn.widths) panel.widen(now.widths || "now");
    if ((now.zoom || "") !== panel.path) panel.goTo(now.zoom || "");
    if (!isPhases(now) && (now.q !== drawn.q || now.sort !== drawn.sort)) flame.top.draw(answer, now);
    drawn = now;
  }

  function refresh(state) {
    const now = params();
    const old = performance.now() - finishedAt >= REFRESH_MS;
    const calm = !now.zoom && !now.focus && !panel.busy() && !document.querySelector(".flame-menu[open], dialog[open]");
    const rolls = !now.capture && !now.request && flame.state.span(now).rolling && state.phase !== "paused";
    if (old && calm && rolls && !under && !document.hidden) load();
  }

  function widthsSelect() {
    const select = element("select", "flame-select", [["now", "widths: now"], ["both", "widths: both"], ["before", "widths: before"]].map(([value, words]) => {
      const option = element("option", "", words);
      option.value = value;
      return option;
    }));
    select.id = "flame-widths";
    select.hidden = true;
    select.title = "Which share a box is as wide as; what is gone now has no width in it";
    select.setAttribute("aria-label", "Widths");
    select.addEventListener("change", () => pyrometer.url.set({ widths: select.value === "now" ? null : select.value }));
    byId("panel-flame-head").querySelector(".flame-shape").prepend(select);
  }

  function wire() {
    flame.controls.wire();
    flame.top.wire();
    flame.captures.wire();
    flame.exports.wire();
    widthsSelect();
    const unfocus = button("Back to the whole graph", () => pyrometer.url.set({ focus: null, zoom: null }, { push: true }));
    unfocus.id = "flame-unfocus";
    unfocus.hidden = true;
    byId("flame-find").append(unfocus);
    byId("flame-refresh").addEventListener("click", load);
    panel = flame.panel(byId("flame-panel"), {
      label: "Flame graph",
      zoomed: (path) => pyrometer.url.set({ zoom: path }, { push: true }),
      found: (found) => flame.controls.tell(found, panel.query),
      picked: (label) => !isPhases(params()) && flame.page.open(label),
    });
  }

  /* The captures' names came after the samples. */
  function named(now) {
    if (byId("flame-page").dataset.state === "empty") return empty(now);
    panel.against = flame.state.against(now, answer);
    return asOf(now);
  }

  function enter(now) {
    if (adopt(now)) now = params();
    if (flame.state.address(now) !== asked) answer = null;
    flame.controls.show(now, answer, flame.captures.held.captures);
    flame.captures.look().then(() => {
      if (!shown()) return;
      flame.controls.show(params(), answer, flame.captures.held.captures);
      if (answer) named(params());
    }).catch(() => null); // the list stays empty; the samples tell what is wrong
    if (!under || asked !== flame.state.address(now)) load();
  }

  flame.page = {
    /* The callers and callees of a function; the same again leaves them. */
    open: (label) => pyrometer.url.set({ focus: pyrometer.url.get("focus") === label ? null : label, zoom: null }, { push: true }),
    refill: () => flame.controls.show(params(), answer, flame.captures.held.captures),
    answer: () => answer,
    panel: () => panel,
  };
  (pyrometer.starters = pyrometer.starters || []).push(wire);
  pyrometer.pages.add("flame", { enter, change: follow, draw: refresh, leave: () => under && under.abort() });
})();
