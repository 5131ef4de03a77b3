/* The time picker below its button: how long, from when to when, how often, compared or not.

   Built once; opened with the button, closed with Escape, a click elsewhere or a choice. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { clock, day } = pyrometer.format;
  const RATE_WORDS = { 1: "1 s", 5: "5 s", 30: "30 s", 0: "Paused" };
  let popover = null;

  function choice(value, words, press) {
    const button = element("button", "choice num", words);
    button.type = "button";
    button.dataset.value = value;
    button.addEventListener("click", press);
    return button;
  }

  function group(name, heading, nodes) {
    const title = element("div", "picker-title", heading);
    title.id = `picker-${name}`;
    const body = element("div", `picker-${name}`, nodes);
    body.setAttribute("role", "group");
    body.setAttribute("aria-labelledby", title.id);
    return element("div", "picker-part", [title, body]);
  }

  function momentInput(id, label) {
    const input = element("input", "picker-input num");
    input.type = "datetime-local";
    input.step = 1;
    input.id = id;
    const words = element("label", "picker-label", label);
    words.htmlFor = id;
    return element("div", "picker-field", [words, input]);
  }

  const localText = (seconds) => `${day(seconds)}T${clock(seconds)}`;

  function apply() {
    const [from, to] = ["picker-from", "picker-to"].map((id) => new Date(byId(id).value).getTime() / 1000);
    const known = Number.isFinite(from) && Number.isFinite(to);
    const problem = !known ? "Both moments are needed" : from >= to ? "The first moment must be before the second" : "";
    setText(byId("picker-problem"), problem);
    if (problem) return;
    pyrometer.time.set({ from, to });
    close(true);
  }

  function customPart() {
    const button = element("button", "chip", "Show this time");
    button.type = "submit";
    const problem = element("div", "picker-problem");
    problem.id = "picker-problem";
    problem.setAttribute("role", "alert");
    const form = element("form", "picker-form", [
      momentInput("picker-from", "From"), momentInput("picker-to", "To"), problem, button,
    ]);
    form.noValidate = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      apply();
    });
    return form;
  }

  function comparePart() {
    const box = element("input", "picker-box");
    box.type = "checkbox";
    box.id = "picker-compare";
    box.addEventListener("change", () => pyrometer.time.setCompare(box.checked));
    const label = element("label", "", "Compare with the period before");
    label.htmlFor = box.id;
    return element("div", "picker-compare", [box, label]);
  }

  function build() {
    const { PRESETS, RATES } = pyrometer.time;
    const presets = Object.entries(PRESETS).map(([key, [, words]]) =>
      choice(key, words === "hour" ? "1 hour" : words, () => {
        pyrometer.time.set(key);
        close(true);
      }));
    const rates = RATES.map((rate) => choice(rate, RATE_WORDS[rate], () => pyrometer.time.setLive(rate)));
    popover = element("div", "picker", [
      group("presets", "The last", presets),
      group("custom", "Or from one moment to another", customPart()),
      group("rates", "New figures every", rates),
      comparePart(),
    ]);
    popover.id = "time-picker";
    popover.hidden = true;
    popover.setAttribute("role", "dialog");
    popover.setAttribute("aria-label", "Time");
    byId("time").append(popover);
  }

  function press(name, value) {
    for (const button of popover.querySelectorAll(`.picker-${name} .choice`)) {
      button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
    }
  }

  function mark() {
    if (!popover) return;
    const range = pyrometer.time.range();
    press("presets", range.key);
    press("rates", pyrometer.time.live());
    byId("picker-compare").checked = pyrometer.time.compare();
  }

  function open() {
    if (!popover) build();
    const { from, to } = pyrometer.time.range();
    byId("picker-from").value = localText(from);
    byId("picker-to").value = localText(to);
    setText(byId("picker-problem"), "");
    mark();
    popover.hidden = false;
    byId("time-button").setAttribute("aria-expanded", "true");
    (popover.querySelector("[aria-pressed=true]") || popover.querySelector(".choice")).focus();
  }

  function close(giveFocus) {
    if (!popover || popover.hidden) return;
    popover.hidden = true;
    byId("time-button").setAttribute("aria-expanded", "false");
    if (giveFocus) byId("time-button").focus();
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    const host = byId("time");
    byId("time-button").addEventListener("click", () => (popover && !popover.hidden ? close(true) : open()));
    host.addEventListener("keydown", (event) => event.key === "Escape" && close(true));
    host.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !host.contains(event.relatedTarget)) close(false);
    });
    document.addEventListener("pointerdown", (event) => host.contains(event.target) || close(false));
    pyrometer.time.on(mark);
  });
})();
