/* The flame graph of a range in a drawer over the page, and the ways to it: a button on every
   latency chart, and "Why?" beside a range that was picked on a chart. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { count } = pyrometer.format;
  const HOUR = { against: "before", against_window: "1h" };
  let opened = null; // {dialog, stage, note, status, page, panel, params, under}

  function button(words, press) {
    const node = element("button", "action btn btn-sm btn-link", words);
    node.type = "button";
    node.addEventListener("click", () => press(node));
    return node;
  }

  function become(state, ...content) {
    opened.dialog.dataset.state = state;
    opened.note.replaceChildren(...content.map((part) => (typeof part === "string" ? element("p", "", part) : part)));
  }

  function draw(answer) {
    const { panel, status } = opened;
    const against = flame.state.against(opened.params, answer);
    setText(status, `${count(answer.sampled.samples)} samples${against ? `, ${flame.state.compared(opened.params, answer)}` : ""}`);
    if (!answer.nodes.parent.length) {
      const hz = answer.rate && answer.rate.asked_hz;
      const words = hz === 0 ? "The profiler is off: start the server with --profile-hz 29" : `No samples in this range${hz ? `; the profiler runs at ${hz} Hz` : ""}`;
      return become("empty", words);
    }
    become("shown");
    return panel.show({ main: flame.model.ofCode(answer) }, {
      kind: flame.model.isCompared(answer) ? "diff" : "module",
      against,
      what: "Flame graph of CPU time",
    });
  }

  async function load() {
    if (opened.under) opened.under.abort();
    const mine = (opened.under = new AbortController());
    become(opened.dialog.dataset.state === "shown" ? "shown" : "loading", "Asking for the samples");
    try {
      const answer = await flame.state.ask(flame.state.address(opened.params), mine.signal);
      if (!mine.signal.aborted) draw(answer);
    } catch (failure) {
      if (!mine.signal.aborted) become("error", `The flame graph could not be read: ${failure.message}.`, button("Try again", load));
    }
  }

  /* The page's keys for what the drawer shows. */
  function pageParams() {
    const { from, to, ...rest } = opened.params;
    const range = flame.state.rangeOf(Number(from), Number(to));
    return { range, ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value)) };
  }

  const pagePath = () => `/flame-graph?${new URLSearchParams(pageParams())}`;

  function compare(node) {
    const on = !opened.params.against;
    for (const key of Object.keys(HOUR)) opened.params[key] = on ? HOUR[key] : null;
    node.setAttribute("aria-pressed", String(on));
    setText(node, on ? "Without comparison" : "Compare with the hour before");
    opened.page.href = pagePath();
    load();
  }

  function heading(params) {
    const of = params.model ? ` of ${params.model}` : "";
    return `Flame graph${of}, ${pyrometer.time.span(Number(params.from), Number(params.to))}`;
  }

  function mount(params, back) {
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const title = element("h2", "plan-title", heading(params));
    title.id = "flame-sheet-title";
    title.title = title.textContent.slice(0, 400);
    const stage = element("div", "flame-panel");
    const note = element("div", "flame-note");
    note.setAttribute("role", "status");
    const status = element("span", "flame-status num muted");
    const page = element("a", "action btn btn-sm btn-link", "Open as page");
    const other = button(params.against ? "Without comparison" : "Compare with the hour before", compare);
    other.setAttribute("aria-pressed", String(Boolean(params.against)));
    const dialog = element("dialog", "plan flame-sheet", [
      element("header", "plan-head", [title, close]),
      element("div", "flame-stage", [stage, note]),
      element("footer", "plan-foot", [page, other, status]),
    ]);
    dialog.id = "flame-sheet";
    dialog.dataset.state = "loading";
    dialog.setAttribute("aria-labelledby", title.id);
    page.addEventListener("click", () => dialog.close());
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => ended(back));
    return { dialog, stage, note, status, page, params, under: null };
  }

  function ended(back) {
    const { dialog, panel, under } = opened;
    opened = null;
    if (under) under.abort();
    panel.end();
    dialog.remove();
    if (back && back.isConnected) back.focus();
  }

  /* from, to: seconds of the server's clock; model: a name; against: true for the hour before. */
  function open({ from, to, model, against }) {
    if (opened) return;
    const params = { from: String(from), to: String(to), model: model || "", ...(against ? HOUR : {}) };
    opened = mount(params, document.activeElement);
    document.body.append(opened.dialog);
    opened.dialog.showModal();
    opened.panel = flame.panel(opened.stage, {
      label: "Flame graph",
      picked: (label) => {
        pyrometer.router.go("/flame-graph", { ...pageParams(), focus: label });
        if (opened) opened.dialog.close();
      },
    });
    opened.page.href = pagePath();
    load();
  }

  /* The range that the charts show. */
  function shownRange() {
    const { from, to } = pyrometer.time.range();
    return { from: Math.floor(from), to: Math.ceil(to) };
  }

  function addButtons() {
    for (const chart of document.querySelectorAll('[data-chart*="latency"]')) {
      const head = chart.closest(".panel") && chart.closest(".panel").querySelector(".panel-head");
      if (!head || head.querySelector(".flame-open")) continue;
      const node = button("Flame graph", () => open({ ...shownRange(), model: modelOf(chart) }));
      node.classList.add("flame-open");
      node.title = "Which code ran in the shown range";
      head.append(node);
    }
  }

  /* A model's own chart names it; on its page the address does. */
  const modelOf = (chart) => chart.dataset.model || (pyrometer.router.current() === "models" ? pyrometer.url.get("model") : "") || "";

  function addWhy() {
    const reset = byId("window-reset");
    if (!reset) return;
    const why = element("button", "chip", ["Why?", element("span", "flame-why-more", " Against the hour before")]);
    why.id = "flame-why";
    why.type = "button";
    why.title = "The flame graph of this range, compared with the hour before it";
    why.addEventListener("click", () => pyrometer.router.go("/flame-graph", HOUR));
    reset.after(why);
    const follow = () => (why.hidden = reset.hidden || pyrometer.router.current() === "flame");
    new MutationObserver(follow).observe(reset, { attributeFilter: ["hidden"] });
    pyrometer.url.on(follow);
    follow();
  }

  pyrometer.flameDrawer = { open };
  (pyrometer.starters = pyrometer.starters || []).push(addButtons, addWhy);
})();
