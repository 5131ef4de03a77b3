/* The top line's search and the actions that are one click from anywhere. A phone has the search
   alone, and finds the actions there. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;
  const mac = /Mac|iPhone|iPad/.test(navigator.platform || "");
  /* [id, icon, label, title, what the palette begins with] */
  const QUICK = [
    ["quick-warm", "warm", "Warm up all models", "Loads every model and runs rows through it", { id: "warm" }],
    ["quick-flush", "flush", "Flush all caches", "Asks first", { id: "flush" }],
    ["quick-capture", "capture", "Capture a profile", "10 s at 499 Hz", { id: "capture" }],
    ["quick-silence", "silence", "Silence an alert", "Chooses the alert", { query: "Silence " }],
  ];

  function searchButton() {
    const button = element("button", "chip palette-open", [
      element("span", "icon icon-search"), element("span", "palette-word", "Search"), element("kbd", "", mac ? "⌘K" : "Ctrl K"),
    ]);
    button.id = "palette-open";
    button.type = "button";
    button.title = "Search pages, models, actions";
    button.setAttribute("aria-label", "Search pages, models, actions");
    button.setAttribute("aria-haspopup", "dialog");
    button.setAttribute("aria-keyshortcuts", mac ? "Meta+K" : "Control+K");
    button.addEventListener("click", () => pyrometer.palette.open());
    return button;
  }

  function quickButton([id, icon, label, title, begin]) {
    const button = element("button", "tool quick btn btn-sm btn-link", element("span", `icon icon-${icon}`));
    button.id = id;
    button.type = "button";
    button.title = `${label}: ${title.charAt(0).toLowerCase()}${title.slice(1)}`;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => pyrometer.palette.open(begin));
    return button;
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    const tools = document.querySelector("#top-line .tools");
    const quick = element("div", "quick-actions", QUICK.map(quickButton));
    quick.setAttribute("role", "group");
    quick.setAttribute("aria-label", "Actions");
    tools.prepend(searchButton());
    tools.insertBefore(quick, tools.querySelector("#theme-switch"));
  });
})();
