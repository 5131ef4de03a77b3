/* Captures and imported files: the menu, its progress, and what the server holds of them. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, count, known } = pyrometer.format;
  const PATH = "/performance/profile";
  const LIMIT_MS = 20000;
  const LOOK_MS = 500;
  const SECONDS = [5, 10, 30, 60];
  const RATES_HZ = [99, 199, 499];
  const FILE_MAX = 32 * 1024 * 1024; // bytes that are sent
  const held = { captures: [], sampler: null };
  const parts = {};
  let running = null; // {id, seconds}

  function label(capture) {
    const name = String(capture.label || capture.id);
    if (capture.kind === "import") return name;
    const at = known(capture.began) ? `${clock(capture.began)}, ` : "";
    return `${name.startsWith(clock(capture.began || 0)) ? "" : at}${name}`;
  }

  async function look() {
    const answer = await flame.state.ask(PATH);
    held.captures = answer.captures || [];
    held.sampler = answer.sampler || null;
    offerDelete();
    return held;
  }

  function select(values, chosen, words, name) {
    const node = element("select", "flame-select", values.map((value) => {
      const option = element("option", "", words(value));
      option.value = String(value);
      return option;
    }));
    node.value = String(chosen);
    node.setAttribute("aria-label", name);
    return node;
  }

  function button(words, press, className) {
    const node = element("button", className || "action btn btn-sm btn-link", words);
    node.type = "button";
    node.addEventListener("click", () => press(node));
    return node;
  }

  const startWords = () => `Capture ${parts.seconds.value} s at ${parts.hz.value} Hz`;

  async function start() {
    if (running) return;
    const wanted = { seconds: Number(parts.seconds.value), hz: Number(parts.hz.value) };
    try {
      const answer = await pyrometer.post(PATH, wanted, LIMIT_MS);
      running = { id: answer.id, seconds: answer.seconds || wanted.seconds, hz: wanted.hz, began: performance.now() };
      byId("flame-capturing").open = false;
      follow();
    } catch (failure) {
      pyrometer.toast("critical", `${startWords()} failed`, failure.message);
    }
  }

  /* Watch the capture until it is whole, then open it. */
  async function follow() {
    let faults = 0;
    while (running) {
      const passed = (performance.now() - running.began) / 1000;
      tell(Math.min(running.seconds, Math.floor(passed)));
      await new Promise((next) => setTimeout(next, LOOK_MS));
      try {
        const { captures } = await look();
        faults = 0;
        const mine = captures.find((one) => one.id === running.id);
        if (!mine) throw new Error("the server no longer has it");
        if (mine.progress >= 1) finish(mine);
      } catch (failure) {
        faults += 1;
        if (faults < 5) continue;
        pyrometer.toast("critical", "Capture was lost", failure.message);
        running = null;
      }
    }
    tell(null);
  }

  function finish(capture) {
    const { seconds, hz } = running;
    running = null;
    pyrometer.toast("ok", `Captured ${seconds} s at ${hz} Hz`, `${count(capture.samples)} samples of all threads; the graph hides those of idle ones`);
    if (pyrometer.router.current() === "flame") open(capture.id);
  }

  function open(id, changes = {}) {
    pyrometer.url.set({ capture: id, view: null, zoom: null, focus: null, request: null, ...changes }, { push: true });
  }

  const nameOf = (id) => label(held.captures.find((one) => one.id === id) || { id });

  function tell(seconds) {
    const page = byId("flame-capturing");
    page.dataset.running = String(seconds !== null);
    page.style.setProperty("--done", running ? `${(100 * seconds) / running.seconds}%` : "0%");
    setText(byId("flame-capturing-word"), seconds === null ? "Capture" : `Capturing, ${seconds} of ${running.seconds} s`);
    parts.start.setAttribute("aria-disabled", String(seconds !== null));
  }

  async function send(file) {
    if (file.size > FILE_MAX) {
      pyrometer.toast("critical", "Import failed", `${file.name} has ${count(file.size)} bytes; at most ${count(FILE_MAX)} are taken`);
      return;
    }
    try {
      const response = await fetch(`${PATH}/import?name=${encodeURIComponent(file.name)}`, {
        method: "POST",
        headers: { "Content-Type": file.name.endsWith(".json") ? "application/json" : "text/plain" },
        body: file,
        signal: AbortSignal.timeout(60000),
      });
      const answer = await response.json().catch(() => ({}));
      if (!response.ok) throw new Error(answer.error || `HTTP ${response.status}`);
      await look().catch(() => held);
      pyrometer.toast("ok", `Imported ${file.name}`, known(answer.samples) ? `${count(answer.samples)} samples` : answer.label || "");
      byId("flame-capturing").open = false;
      open(answer.id, file.name.endsWith(".json") ? {} : { measure: "samples" }); // folded files count
    } catch (failure) {
      pyrometer.toast("critical", `Import ${file.name} failed`, failure.message);
    }
  }

  async function drop() {
    const id = pyrometer.url.get("capture");
    const capture = held.captures.find((one) => one.id === id);
    if (!capture) return;
    const what = label(capture);
    if (!(await pyrometer.actions.confirmInPlace(byId("flame-capturing-menu"), "div", `Delete ${what}?`, "Delete"))) return;
    try {
      await pyrometer.post(`${PATH}/delete`, { id }, LIMIT_MS);
      pyrometer.toast("ok", "Deleted", what);
      pyrometer.url.set({ capture: null, zoom: null, focus: null });
      await look();
      flame.page.refill();
    } catch (failure) {
      pyrometer.toast("critical", `Delete ${what} failed`, failure.message);
    }
  }

  function offerDelete() {
    if (parts.drop) parts.drop.disabled = !held.captures.some((one) => one.id === pyrometer.url.get("capture"));
  }

  function filePicker() {
    const input = element("input", "visually-hidden");
    input.type = "file";
    input.id = "flame-import";
    input.accept = ".folded,.txt,.json,.collapsed";
    input.addEventListener("change", () => {
      if (input.files.length) send(input.files[0]);
      input.value = "";
    });
    const words = element("label", "action btn btn-sm btn-link", "Import a folded or speedscope file");
    words.htmlFor = input.id;
    return element("div", "flame-file", [input, words]);
  }

  function wire() {
    parts.seconds = select(SECONDS, 10, (value) => `${value} s`, "Seconds");
    parts.hz = select(RATES_HZ, 499, (value) => `${value} Hz`, "Samples a second");
    parts.start = button("", start, "action btn btn-sm btn-link flame-start");
    const write = () => setText(parts.start, startWords());
    for (const node of [parts.seconds, parts.hz]) node.addEventListener("change", write);
    write();
    parts.drop = button("Delete the shown capture", drop, "action danger btn btn-sm btn-link");
    parts.drop.disabled = true;
    byId("flame-capturing-menu").replaceChildren(
      element("div", "flame-row", [parts.seconds, element("span", "muted", "at"), parts.hz]),
      parts.start,
      element("p", "muted", "Looks at every thread so often for so long; up to 10 % of throughput while it runs. The newest 10 are kept."),
      filePicker(),
      parts.drop,
    );
  }

  flame.captures = { wire, look, label, nameOf, offerDelete, held };
})();
