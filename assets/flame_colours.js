/* Fills of flame graphs: by package, by difference, by heat; the numbers are those of
   components/flame_colours.py, which the server's own pictures use too. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId } = pyrometer.dom;
  const [FNV_OFFSET, FNV_PRIME] = [0x811c9dc5, 0x01000193];
  const HEAT_STEPS = 7;
  const encoder = new TextEncoder();
  let palettes = null;

  /* FNV-1a of the UTF-8 bytes, 32 bits. */
  function hash(text) {
    let value = FNV_OFFSET;
    for (const byte of encoder.encode(text)) value = Math.imul(value ^ byte, FNV_PRIME) >>> 0;
    return value;
  }

  const theme = () => (document.documentElement.dataset.theme === "light" ? "light" : "dark");
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function palette() {
    palettes = palettes || JSON.parse(byId("flame-palette").dataset.palette);
    return { ...palettes[theme()], bounds: palettes.diff_bounds };
  }

  function luminance(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /* Black or white, whichever is read more easily. */
  const inkOn = (colour) => (luminance(colour) > 0.18 ? "#1f1c19" : "#ffffff");

  function byPackage(colours) {
    const seen = new Map();
    return (frame) => {
      const name = String(frame.module || "").split(".")[0];
      if (!name) return colours.neutral;
      if (!seen.has(name)) seen.set(name, colours.modules[hash(name) % colours.modules.length]);
      return seen.get(name);
    };
  }

  function byDifference(colours, grown) {
    const steps = colours.bounds.filter((bound) => bound <= Math.abs(grown)).length;
    return colours.diff[colours.bounds.length + (grown < 0 ? -steps : steps)];
  }

  /* {fill: [colour per node], ink: [colour per node]} of a model, in the theme of the page.
     kind: "module" | "diff" | "heat" (a node's own time, relative to the largest). */
  function ofModel(model, kind) {
    const colours = palette();
    const nodes = Array.from({ length: model.size }, (_, node) => node);
    if (kind === "heat") {
      const heat = Array.from({ length: HEAT_STEPS }, (_, step) => token(`heat-${step + 1}`));
      const inks = heat.map(inkOn);
      const hottest = Math.max(...model.self, 0) || 1;
      const step = (node) => Math.min(HEAT_STEPS - 1, Math.floor((model.self[node] / hottest) * HEAT_STEPS));
      return { fill: nodes.map((node) => heat[step(node)]), ink: nodes.map((node) => inks[step(node)]) };
    }
    const ofFrame = byPackage(colours);
    const fill = kind === "diff"
      ? nodes.map((node) => byDifference(colours, flame.model.grown(model, node)))
      : nodes.map((node) => ofFrame(model.described[node]));
    return { fill, ink: nodes.map(() => colours.ink) };
  }

  flame.colours = { hash, palette, token, ofModel };
})();
