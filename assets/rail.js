/* The bottom bar's More: a sheet with the pages that have no place on the bar. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId } = pyrometer.dom;
  const isOpen = () => byId("rail-more").getAttribute("aria-expanded") === "true";

  function open(wanted) {
    byId("rail-more").setAttribute("aria-expanded", String(wanted));
    if (wanted) byId("rail-sheet").querySelector("a").focus();
  }

  function mark() {
    const within = byId("rail-sheet").querySelector("[aria-current]");
    if (within) byId("rail-more").setAttribute("aria-current", "true");
    else byId("rail-more").removeAttribute("aria-current");
    open(false);
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    const [button, sheet] = [byId("rail-more"), byId("rail-sheet")];
    button.addEventListener("click", () => open(!isOpen()));
    sheet.addEventListener("click", (event) => event.target.closest("a") && open(false));
    sheet.parentElement.addEventListener("focusout", (event) => {
      if (isOpen() && !sheet.parentElement.contains(event.relatedTarget)) open(false);
    });
    document.addEventListener("pointerdown", (event) => {
      if (isOpen() && !sheet.parentElement.contains(event.target)) open(false);
    });
    sheet.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      open(false);
      button.focus();
    });
    pyrometer.url.on(mark);
  });
})();
