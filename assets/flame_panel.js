/* A flame graph with what belongs to it: the path that is zoomed, the line that reads out a
   frame, legend, words for screen readers. Shows one tree, or a function between its callers
   (growing up) and its callees. The page, the drawer and a request's waterfall each hold one. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { element, setText } = pyrometer.dom;
  const { plural, count } = pyrometer.format;
  const UP = "^"; // begins the zoomed path of a callers' tree
  const SAY_AFTER_MS = 150;
  const PACKAGES = 6;
  const KEYS = "arrow keys move, Enter zooms, Escape goes out";
  let made = 0;

  const short = (text, size) => (text.length > size ? `${text.slice(0, size - 1)}…` : text);

  function crumb(words, title, press) {
    const button = element("button", "flame-crumb", short(words, 60));
    button.type = "button";
    button.title = short(title, 400);
    button.addEventListener("click", press);
    return element("li", "", button);
  }

  /* A frame in words, part by part: [label, [fact, ...]]. */
  function facts(model, node, against) {
    const { amount, percent, points } = flame.words;
    const own = `self ${amount(model.self[node], model.unit)}, ${percent(flame.model.selfShare(model, node))}`;
    const total = `total ${amount(model.total[node], model.unit)}, ${percent(flame.model.share(model, node))}`;
    const said = [total, own];
    const counted = model.unit === "ms" ? "request" : "sample";
    if (model.samples && model.unit !== "samples") said.push(plural(model.samples[node], counted));
    if (model.againstTotal) {
      said.push(`${against}: ${percent(flame.model.againstShare(model, node))}, now ${points(flame.model.grown(model, node))}`);
    }
    return [model.label[node], said];
  }

  function swatch(colour) {
    const node = element("i", "flame-swatch");
    node.style.background = colour;
    return node;
  }

  function scale(low, colours, high) {
    const bar = element("span", "flame-scale", colours.map(swatch));
    return [element("span", "", low), bar, element("span", "", high)];
  }

  /* The packages with the largest share of their own. */
  function packages(model, fill) {
    const own = new Map();
    model.described.forEach((frame, node) => {
      const name = String(frame.module || "").split(".")[0];
      if (!name) return;
      const entry = own.get(name) || { value: 0, colour: fill[node] };
      entry.value += model.self[node];
      own.set(name, entry);
    });
    return [...own].filter(([, entry]) => entry.value > 0).sort((a, b) => b[1].value - a[1].value).slice(0, PACKAGES)
      .map(([name, { value, colour }]) =>
        element("span", "flame-package", [swatch(colour), `${short(name, 24)} ${flame.words.percent(value / (model.whole || 1))}`]));
  }

  function legendOf(model, kind, fill) {
    if (kind === "diff") return scale("share shrank", flame.colours.palette().diff, "share grew");
    if (kind === "heat") {
      const heat = Array.from({ length: 7 }, (_, step) => flame.colours.token(`heat-${step + 1}`));
      return scale("little time of its own", heat, "most");
    }
    return packages(model, fill);
  }

  function summary(model, what) {
    const top = flame.model.largest(model, 5);
    if (!top.length) return `${what}: nothing was sampled`;
    const words = top.map(({ label, share }) => `${short(label, 80)} ${flame.words.percent(share)}`);
    return `${what}: ${flame.words.amount(model.whole, model.unit)} in ${count(model.size)} boxes. The largest by their own time: ${words.join("; ")}.`;
  }

  function hidden(tag) {
    return element(tag, "visually-hidden");
  }

  /* The elements of a panel, in the order of reading. */
  function mount(host) {
    const parts = {
      crumbs: element("ol", "flame-crumbs"),
      readout: element("div", "flame-readout num", [element("span", "flame-label"), element("span", "flame-facts")]),
      main: element("div", "flame-chart"),
      callers: element("div", "flame-chart flame-callers"),
      middle: element("div", "flame-middle"),
      callees: element("div", "flame-chart flame-callees"),
      legend: element("div", "flame-legend"),
      said: hidden("div"),
      story: hidden("p"),
    };
    const nav = element("nav", "flame-path", parts.crumbs);
    nav.setAttribute("aria-label", "Zoomed path");
    parts.said.setAttribute("aria-live", "polite");
    parts.story.id = `flame-story-${(made += 1)}`;
    const { readout, main, callers, middle, callees, legend, said, story } = parts;
    host.replaceChildren(nav, readout, main, callers, middle, callees, legend, said, story);
    return parts;
  }

  class Panel {
    /* options: label; zoomed(path), picked(label), found(search's answer) tell the owner, who
       keeps the address. */
    constructor(host, options) {
      Object.assign(this, { host, options, kind: "module", against: "", query: "", path: "", sandwich: false, saying: 0 });
      this.parts = mount(host);
      this.all = {
        main: this.chart("main", false, options.label),
        callers: this.chart("callers", true, "Callers"),
        callees: this.chart("callees", false, "Callees"),
      };
      this.arrange(false);
    }

    chart(name, up, label) {
      const chart = flame.chart(this.parts[name], {
        up,
        label: `${label}: ${KEYS}`,
        zoomed: (node) => this.zoom(name, node, true),
        pointed: (node, aloud) => this.point(name, node, aloud),
        picked: (node) => this.options.picked && this.options.picked(this.all[name].model.label[node]),
      });
      chart.scroll.setAttribute("aria-describedby", this.parts.story.id);
      return chart;
    }

    names() {
      return this.sandwich ? ["callees", "callers"] : ["main"];
    }

    charts() {
      return this.names().map((name) => this.all[name]);
    }

    arrange(sandwich) {
      this.sandwich = sandwich;
      this.parts.main.hidden = sandwich;
      for (const name of ["callers", "middle", "callees"]) this.parts[name].hidden = !sandwich;
    }

    /* Read out the node under the pointer; without one that of the keyboard, or the zoomed. */
    point(name, node, aloud) {
      const chart = this.all[name];
      const here = document.activeElement === chart.scroll && chart.focused !== null ? chart.focused : chart.zoomed;
      const at = node === null ? here : node;
      this.readOut(chart.model, at);
      if (!aloud) return;
      clearTimeout(this.saying);
      this.saying = setTimeout(() => {
        const [label, words] = facts(chart.model, at, this.against);
        setText(this.parts.said, `${short(label, 200)}, ${words.join(", ")}`);
      }, SAY_AFTER_MS);
    }

    readOut(model, node) {
      if (!model || node >= model.size) return;
      const [label, words] = facts(model, node, this.against);
      const [first, last] = this.parts.readout.children;
      setText(first, short(label, 400));
      first.title = short(label, 2000);
      setText(last, words.join(" · "));
    }

    /* told: by the operator, so the owner hears of it. */
    zoom(name, node, told) {
      const chart = this.all[name];
      for (const other of this.charts()) if (other !== chart && other.zoomed > 0) other.zoom(0);
      chart.zoom(node, { glides: told });
      if (told) {
        chart.focused = node;
        const path = flame.model.pathOf(chart.model, node);
        this.path = name === "callers" && path ? UP + path : path;
        if (this.options.zoomed) this.options.zoomed(this.path);
      }
      this.trail(name);
      this.readOut(chart.model, node);
      this.find();
    }

    /* The root, how many are left out where the path is long, and its last steps. */
    trail(name) {
      const { model, zoomed } = this.all[name];
      const path = flame.model.lineage(model, zoomed);
      const last = this.host.clientWidth < 600 ? 2 : 5;
      const step = (node, title) => crumb(model.described[node].name, title, () => this.zoom(name, node, true));
      const steps = path.slice(-last).map((node) => step(node, model.label[node]));
      if (path.length > last) steps.unshift(element("li", "flame-more", `… ${path.length - last} more`));
      this.parts.crumbs.replaceChildren(step(0, "The whole graph"), ...steps);
      const here = this.parts.crumbs.querySelector("li:last-child button");
      if (here) here.setAttribute("aria-current", "true");
    }

    find() {
      const answer = { count: 0, inside: null, share: 0, problem: "" };
      for (const chart of this.charts()) {
        const { found, share, problem } = flame.model.search(chart.model, this.query);
        chart.find(found);
        answer.count += found ? found.size : 0;
        answer.share = Math.max(answer.share, share);
        answer.problem = problem;
        if (found && chart.zoomed > 0) answer.inside = flame.model.within(chart.model, found, chart.zoomed);
      }
      if (this.options.found) this.options.found(answer);
    }

    /* models: {main} or {callers, callees, name}. kind: colours, see flame_colours.js. against,
       what: the comparison and the whole, in words. The path that was zoomed stays. */
    show(models, { kind, against, widths, what }) {
      Object.assign(this, { kind, against: against || "" });
      this.arrange(!models.main);
      if (!models.main) setText(this.parts.middle, `Callers above, callees below: ${short(models.name, 300)}`);
      for (const name of this.names()) {
        if (widths) flame.model.layout(models[name], widths);
        this.all[name].set(models[name], kind);
      }
      this.goTo(this.path);
      const [first] = this.charts();
      this.parts.legend.replaceChildren(...legendOf(first.model, kind, first.colours.fill));
      setText(this.parts.story, summary(first.model, what));
    }

    /* The deepest node of a path that is there; what is not there is left for later answers. */
    goTo(path) {
      this.path = path || "";
      const name = !this.sandwich ? "main" : this.path.startsWith(UP) ? "callers" : "callees";
      const { model } = this.all[name];
      if (model && model.size) this.zoom(name, flame.model.nodeAt(model, this.path.replace(/^\^/, "")).node, false);
    }

    /* The owner's `found` is told {count, inside, share, problem}; inside: of the zoomed part. */
    search(text) {
      this.query = text;
      this.find();
    }

    widen(widths) {
      for (const chart of this.charts()) chart.widen(widths);
    }

    /* Something is looked at closely: it must not move. */
    busy() {
      return this.charts().some((chart) => chart.zoomed > 0 || chart.hovered !== null || document.activeElement === chart.scroll);
    }

    end() {
      for (const chart of Object.values(this.all)) chart.end();
    }
  }

  flame.panel = (host, options) => new Panel(host, options);
})();
