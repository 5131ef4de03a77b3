/* A chart under the pointer and the keyboard. One tab stop; arrows go to parent, largest child
   and siblings, Enter zooms, Escape zooms out, Home goes to the root, Shift with Enter opens
   the callers and callees. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});

  /* The neighbour of a node in its row, under any parent, that is wide enough to be seen. */
  function beside(chart, node, step) {
    const { model } = chart;
    const row = model.rows[model.depth[node]];
    const seen = (chart.to - chart.from) / Math.max(1, chart.scroll.clientWidth);
    const same = row.filter((one) => one === node || (model.width[one] >= seen && model.x[one] < chart.to && model.x[one] + model.width[one] > chart.from));
    const next = same[same.indexOf(node) + step];
    return next === undefined ? node : next;
  }

  function largestChild(model, node) {
    return model.children[node].reduce((best, child) => (best === null || model.width[child] > model.width[best] ? child : best), null);
  }

  function moved(chart, node, key, up) {
    const { model } = chart;
    const [parentKey, childKey] = up ? ["ArrowDown", "ArrowUp"] : ["ArrowUp", "ArrowDown"];
    if (key === parentKey) return Math.max(0, model.parent[node]);
    if (key === childKey) {
      const child = largestChild(model, node);
      return child === null ? node : child;
    }
    if (key === "ArrowLeft") return beside(chart, node, -1);
    if (key === "ArrowRight") return beside(chart, node, 1);
    return 0;
  }

  function pressed(chart, options, event) {
    const { model } = chart;
    if (!model || !model.size || event.altKey || event.ctrlKey || event.metaKey) return;
    const node = chart.focused === null ? chart.zoomed : chart.focused;
    if (["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home"].includes(event.key)) {
      const next = chart.focused === null && event.key !== "Home" ? chart.zoomed : moved(chart, node, event.key, options.up);
      chart.look(next);
      options.pointed(next, true);
    } else if (event.key === "Enter") {
      if (event.shiftKey) options.picked(node);
      else options.zoomed(node);
    } else if (event.key === "Escape" && chart.zoomed > 0) {
      event.stopPropagation(); // a dialog around stays open
      const out = Math.max(0, model.parent[chart.zoomed]);
      options.zoomed(out);
    } else return;
    event.preventDefault();
  }

  flame.steer = function (chart, options) {
    const { scroll } = chart;
    let queued = null;
    scroll.addEventListener("keydown", (event) => pressed(chart, options, event));
    scroll.addEventListener("focus", () => {
      if (!scroll.matches(":focus-visible") || !chart.model || !chart.model.size) return;
      chart.look(chart.focused === null ? chart.zoomed : chart.focused);
      options.pointed(chart.focused, true);
    });
    scroll.addEventListener("blur", () => options.pointed(null, false));
    scroll.addEventListener("pointermove", (event) => {
      const first = queued === null;
      queued = [event.clientX, event.clientY];
      if (!first) return;
      requestAnimationFrame(() => {
        const node = chart.at(...queued);
        queued = null;
        if (node === chart.hovered) return;
        chart.hover(node);
        scroll.style.cursor = node === null ? "" : "pointer";
        options.pointed(node, false);
      });
    }, { passive: true });
    scroll.addEventListener("pointerleave", () => {
      chart.hover(null);
      options.pointed(null, false);
    });
    scroll.addEventListener("click", (event) => {
      const node = chart.at(event.clientX, event.clientY);
      if (node === null) return;
      chart.hover(node);
      options.pointed(node, false);
      if (event.detail === 1) {
        if (event.shiftKey) options.picked(node);
        else options.zoomed(node);
      }
    });
    scroll.addEventListener("dblclick", () => options.zoomed(0));
  };
})();
