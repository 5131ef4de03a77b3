/* The theme switch. The first theme is set before the first paint, by the page itself: that
   of the address, else the one chosen last in this browser, else the browser's own. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId } = pyrometer.dom;

  function set(theme) {
    document.documentElement.dataset.theme = theme;
    document.documentElement.dataset.bsTheme = theme;
    pyrometer.charts.repaint();
    pyrometer.phases.paint();
    pyrometer.redraw();
  }

  function toggle() {
    const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    try {
      localStorage.setItem("pyrometer-theme", theme);
    } catch (refused) {
      // a browser that keeps nothing still switches, for this visit
    }
    set(theme);
    pyrometer.url.set({ theme });
  }

  /* Back and forward to an address with another theme. */
  function follow() {
    const theme = pyrometer.url.get("theme");
    if (["dark", "light"].includes(theme) && theme !== document.documentElement.dataset.theme) set(theme);
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("theme-switch").addEventListener("click", toggle);
    pyrometer.url.on(follow);
  });
})();
