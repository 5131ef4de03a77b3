/* What the palette can do, made anew each time that it opens.

   {id, group, label, hint, words, icon, run, ask, quiet}
     id     kept among the recent ones
     hint   what it would find or change, at the right
     words  further words that find it
     ask    {text, verb} where it destroys something: asked in the palette first
     quiet  found by typing only, so that the list without a word stays short */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId } = pyrometer.dom;
  const { bytes, plural } = pyrometer.format;
  const CAPTURE = { seconds: 10, hz: 499 };
  const FIRES = new Set(["firing", "recovering"]);

  const answer = () => pyrometer.state.answer || { models: [], caches: [], alerts: [] };
  const go = (path, params) => () => pyrometer.router.go(path, params);
  const onPage = (name) => JSON.parse(byId("console").dataset.pages).find((page) => page.name === name);

  function pages() {
    return JSON.parse(byId("console").dataset.pages).map((page) => ({
      id: `page ${page.name}`, group: "Pages", label: page.title, hint: page.path, words: `go to open page ${page.name}`,
      icon: page.name, run: go(page.path),
    }));
  }

  // Models, by name: one that serves several versions is listed once

  function modelCommands(model) {
    const { name } = model;
    const [path, given] = [onPage("models").path, { model: name }];
    return [
      { id: `open ${name}`, label: `Open ${name}`, hint: model.state, words: "model page plan", icon: "models", run: go(path, given) },
      { id: `warm ${name}`, label: `Warm up ${name}`, hint: model.state, words: "load model", icon: "warm", quiet: true, run: () => pyrometer.actions.warm(name) },
      {
        id: `flush ${name}`, label: `Flush ${name}`, hint: "what the caches hold for it", words: "clear empty cache model", icon: "flush", quiet: true,
        ask: { text: `Flush what the caches hold for ${name.slice(0, 100)}? Its next requests run the model again.`, verb: "Flush" },
        run: () => pyrometer.actions.flush({ model: name }, name),
      },
      { id: `flame ${name}`, label: `Flame graph of ${name}`, hint: "where its time goes", words: "profile model", icon: "flame", quiet: true, run: go("/flame-graph", { ...given, view: "code" }) },
      { id: `requests ${name}`, label: `Requests of ${name}`, hint: "the slowest and a sample", words: "model exemplars", icon: "requests", quiet: true, run: go("/requests", given) },
    ];
  }

  function models() {
    const byName = new Map(answer().models.map((model) => [model.name, model]));
    for (const model of answer().models) if (model.serving !== false) byName.set(model.name, model);
    return [...byName.values()].flatMap(modelCommands).map((command) => ({ group: "Models", ...command }));
  }

  // Actions

  function warmAll() {
    const cold = answer().models.filter((model) => model.state !== "warm").length;
    const hint = cold ? `${cold} not warm` : "all are warm";
    return { id: "warm", label: "Warm up all models", hint, words: "load", icon: "warm", run: () => pyrometer.actions.warm(null) };
  }

  /* Nothing to flush is no question. */
  function flush(id, label, caches, body, what, quiet) {
    const items = caches.reduce((total, cache) => total + (cache.items || 0), 0);
    const size = caches.reduce((total, cache) => total + (cache.bytes || 0), 0);
    return {
      id, label, hint: items ? `${plural(items, "item")}, ${bytes(size)}` : "nothing held", words: "clear empty cache", icon: "flush", quiet,
      ask: items ? { text: pyrometer.actions.flushCost(caches), verb: label } : null,
      run: () => (items ? pyrometer.actions.flush(body, what) : pyrometer.toast("ok", "Nothing to flush", `${what}: nothing is held`)),
    };
  }

  function flushes() {
    if (!pyrometer.state.answer) return [];
    const all = flush("flush", "Flush all caches", pyrometer.actions.dataCaches(), {}, "all caches", false);
    const tiers = answer().caches.map((cache) =>
      flush(`flush tier ${cache.tier}`, `Flush ${cache.label.toLowerCase()}`, [cache], { tier: cache.tier }, cache.label, true));
    return [all, ...tiers];
  }

  function exports() {
    const { actions, links, pictures, report } = pyrometer;
    const title = pyrometer.router.title();
    const count = pyrometer.basket.count();
    return [
      { id: "png", label: "Export this page as PNG", hint: title, words: "picture image screenshot save", icon: "export", run: () => pictures.exportPage() },
      { id: "csv", label: "Export the figures as CSV", hint: pyrometer.time.words(), words: "data save download range", icon: "export", run: () => actions.exportCsv() },
      { id: "link", label: "Copy link to this page", hint: "with this time", words: "share url address", icon: "link", run: () => links.copyHere() },
      { id: "report page", label: "Add this page to the report", hint: title, words: "basket", icon: "report", run: () => report.put(null) },
      { id: "report", label: "Open the report", hint: count ? plural(count, "item") : "empty", words: "basket entries download html", icon: "report", run: () => report.open() },
      { id: "server pdf", label: "Save this page as PDF", hint: "drawn by the server", words: "print picture export", icon: "export", quiet: true, run: () => actions.serverPicture("pdf") },
      { id: "server png", label: "Save this page as PNG", hint: "drawn by the server", words: "picture export", icon: "export", quiet: true, run: () => actions.serverPicture("png") },
    ];
  }

  function actions() {
    const { seconds, hz } = CAPTURE;
    const capture = {
      id: "capture", label: `Capture a profile, ${seconds} s at ${hz} Hz`, hint: "up to 10 % of throughput", words: "flame graph sample", icon: "capture",
      run: () => pyrometer.actions.capture(seconds, hz),
    };
    const benchmark = {
      id: "benchmark", label: "Start a benchmark", hint: "its form", words: "load test rate latency ramp measure bench", icon: "benchmarks",
      run: () => {
        pyrometer.router.go(onPage("benchmarks").path);
        byId("benchmarks-field-model").focus();
      },
    };
    const experiment = {
      id: "experiment", label: "New experiment", hint: "its form", words: "a/b test split shadow candidate compare variants", icon: "experiments",
      run: go("/experiments", { new: "1" }),
    };
    return [warmAll(), ...flushes(), capture, benchmark, experiment, ...exports()].map((command) => ({ group: "Actions", ...command }));
  }

  // Alerts

  /* The alert's own dialog, on its page, at how long to silence it. */
  function openAlert(key) {
    pyrometer.router.go(onPage("alerts").path);
    const row = [...pyrometer.router.view().querySelectorAll("tr[data-alert]")].find((one) => one.dataset.alert === key);
    const button = row && row.querySelector("button");
    if (!button) return pyrometer.toast("warning", "No such alert now", key);
    row.scrollIntoView({ block: "nearest" });
    button.click();
    const length = byId("alert-length");
    return length && length.focus();
  }

  function alerts() {
    const silences = (answer().alerts || []).map((alert) => ({
      id: `silence ${alert.key}`, label: `Silence ${alert.name.replaceAll("_", " ")}, ${alert.severity}`,
      hint: alert.silenced ? "silenced" : alert.state.replace("_", " "), words: "alert mute acknowledge", icon: "silence",
      quiet: !FIRES.has(alert.state), run: () => openAlert(alert.key),
    }));
    const rules = {
      id: "rules", label: "Edit the alert rules", words: "alerts thresholds", icon: "alerts", quiet: true,
      run: () => {
        pyrometer.router.go(onPage("alerts").path);
        byId("edit-rules").click();
      },
    };
    return [...silences, rules].map((command) => ({ group: "Alerts", ...command }));
  }

  // Time and looks

  function times() {
    const { PRESETS, RATES } = pyrometer.time;
    const range = pyrometer.time.range();
    const spans = Object.entries(PRESETS).map(([key, [, words]]) => ({
      id: `range ${key}`, label: `Last ${words}`, hint: range.key === key ? "shown" : "", words: `time range ${key}`, icon: "time",
      quiet: !["10m", "1h", "24h"].includes(key), run: () => pyrometer.time.set(key),
    }));
    const rates = RATES.filter(Boolean).map((rate) => ({
      id: `rate ${rate}`, label: `New figures every ${rate} s`, hint: pyrometer.time.live() === rate ? "now" : "", words: "refresh live rate", icon: "live",
      quiet: true, run: () => pyrometer.time.setLive(rate),
    }));
    const paused = pyrometer.time.live() === 0;
    const compared = pyrometer.time.compare();
    return [
      { id: "pause", label: paused ? "Resume the figures" : "Pause the figures", words: "live stop freeze resume pause", icon: "live", run: () => pyrometer.time.pauseOrResume() },
      ...spans,
      { id: "compare", label: compared ? "Stop comparing" : "Compare with the period before", words: "time previous", icon: "time", quiet: true, run: () => pyrometer.time.setCompare(!compared) },
      ...rates,
    ].map((command) => ({ group: "Time", ...command }));
  }

  function looks() {
    const light = document.documentElement.dataset.theme === "light";
    return [{
      id: "theme", group: "Looks", label: `Switch to the ${light ? "dark" : "light"} theme`, words: "colours appearance dark light", icon: "theme",
      run: () => byId("theme-switch").click(),
    }];
  }

  const all = () => [...actions(), ...pages(), ...alerts(), ...models(), ...times(), ...looks()];
  pyrometer.paletteCommands = all;
})();
