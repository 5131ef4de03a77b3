/* The theme switch. The first theme is set before the first paint, by the page itself. */
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
  }

  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("theme-switch").addEventListener("click", toggle);
  });
})();
