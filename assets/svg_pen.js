/* A canvas's pen that writes SVG: what is drawn with it becomes elements, so that one way of
   drawing serves the screen and the file.

   pyrometer.svgPen(width, height) -> a pen with the calls that our drawings make: fillRect,
   strokeRect, fillText, measureText, save, restore, translate; fillStyle, strokeStyle, lineWidth,
   globalAlpha, font, textAlign, textBaseline. pen.text() is the SVG so far. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const SVG = "http://www.w3.org/2000/svg";
  const ANCHORS = { left: "start", center: "middle", right: "end" };
  const BASELINES = { middle: "central", top: "hanging", alphabetic: "auto" };
  const STATE = ["fillStyle", "strokeStyle", "lineWidth", "globalAlpha", "font", "textAlign", "textBaseline", "left", "top"];

  const rounded = (value) => Math.round(value * 100) / 100;

  class SvgPen {
    constructor(width, height) {
      this.root = document.createElementNS(SVG, "svg");
      this.root.setAttribute("xmlns", SVG);
      this.root.setAttribute("width", width);
      this.root.setAttribute("height", height);
      this.kept = [];
      this.measuring = document.createElement("canvas").getContext("2d");
      Object.assign(this, {
        fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, globalAlpha: 1, font: "12px sans-serif",
        textAlign: "left", textBaseline: "alphabetic", left: 0, top: 0,
      });
    }

    save() {
      this.kept.push(STATE.map((name) => this[name]));
    }

    restore() {
      const values = this.kept.pop();
      STATE.forEach((name, at) => (this[name] = values[at]));
    }

    translate(x, y) {
      this.left += x;
      this.top += y;
    }

    add(tag, x, y, attributes, content = "") {
      const made = document.createElementNS(SVG, tag);
      const all = { x: rounded(this.left + x), y: rounded(this.top + y), ...attributes };
      if (this.globalAlpha < 1) all.opacity = rounded(this.globalAlpha);
      for (const [name, value] of Object.entries(all)) made.setAttribute(name, value);
      made.textContent = content;
      this.root.append(made);
    }

    fillRect(x, y, width, height) {
      this.add("rect", x, y, { width: rounded(width), height: rounded(height), fill: this.fillStyle });
    }

    strokeRect(x, y, width, height) {
      const line = { fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth };
      this.add("rect", x, y, { width: rounded(width), height: rounded(height), ...line });
    }

    fillText(content, x, y) {
      if (!content) return;
      const how = { "text-anchor": ANCHORS[this.textAlign], "dominant-baseline": BASELINES[this.textBaseline] };
      this.add("text", x, y, { fill: this.fillStyle, style: `font: ${this.font}; white-space: pre`, ...how }, content);
    }

    measureText(content) {
      this.measuring.font = this.font;
      return this.measuring.measureText(content);
    }

    text() {
      return new XMLSerializer().serializeToString(this.root);
    }
  }

  pyrometer.svgPen = (width, height) => new SvgPen(width, height);
})();
