/* The icicle on a canvas: what is shown of it, zoom, and what lies under a point.

   The canvas is as large as the visible part of its scrolling host and only rows that are seen
   are drawn, on change, once a frame. Hover and focus are elements over the canvas, so neither
   draws anything. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { element } = pyrometer.dom;
  const ROW = { code: 19, phases: 40 }; // px
  const ZOOM_MS = 140;
  const RATIO_MAX = 3;

  function mount(host, label) {
    const canvas = element("canvas", "flame-canvas");
    const [hoverBox, focusBox] = [element("div", "flame-over"), element("div", "flame-over flame-focus")];
    const extent = element("div", "flame-extent", [canvas, hoverBox, focusBox]);
    const scroll = element("div", "flame-scroll", extent);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "application");
    scroll.setAttribute("aria-label", label);
    hoverBox.hidden = focusBox.hidden = true;
    host.append(scroll);
    return { canvas, hoverBox, focusBox, extent, scroll };
  }

  class Chart {
    /* options: up (grows from below), label; zoomed(node), pointed(node | null, aloud), picked(node). */
    constructor(host, options) {
      Object.assign(this, mount(host, options.label), { host, options });
      Object.assign(this, {
        model: null, colours: null, kind: "module", row: ROW.code, rows: 1, from: 0, to: 1,
        found: null, zoomed: 0, focused: null, hovered: null, drawnMs: 0, queued: false, moving: 0,
      });
      this.follow = new ResizeObserver(() => this.resized());
      this.follow.observe(this.scroll);
      this.themes = new MutationObserver(() => this.recolour());
      this.themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
      this.scroll.addEventListener("scroll", () => this.request(), { passive: true });
      flame.steer(this, options);
    }

    get height() {
      return Math.max(this.rows * this.row, this.scroll.clientHeight);
    }

    rowTop(depth) {
      return this.options.up ? this.height - (depth + 1) * this.row : depth * this.row;
    }

    request() {
      if (this.queued) return;
      this.queued = true;
      requestAnimationFrame(() => {
        this.queued = false;
        this.draw();
      });
    }

    /* Fit the canvas' pixels to the host and the screen. */
    sized() {
      const ratio = Math.min(RATIO_MAX, window.devicePixelRatio || 1);
      const { clientWidth: width, clientHeight: tall } = this.scroll;
      const [across, down] = [Math.round(width * ratio), Math.round(tall * ratio)];
      if (this.canvas.width !== across || this.canvas.height !== down) {
        Object.assign(this.canvas, { width: across, height: down });
        this.canvas.style.width = `${width}px`;
        this.canvas.style.height = `${tall}px`;
      }
      return { ratio, width, tall };
    }

    scene(pen, width, rowTop) {
      pen.font = flame.paint.font();
      const { model, colours, found, zoomed, from, to, row } = this;
      return { model, colours, found, zoomed, from, to, row, width, rowTop, cell: pen.measureText("0").width };
    }

    draw() {
      if (!this.model || !this.model.size || !this.scroll.clientWidth) return;
      const began = performance.now();
      const { ratio, width, tall } = this.sized();
      const top = this.scroll.scrollTop;
      const pen = this.canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, -top * ratio);
      pen.clearRect(0, top, width, tall);
      const depths = [];
      for (let depth = 0; depth < this.rows; depth += 1) {
        const at = this.rowTop(depth) - top;
        if (at > -this.row && at < tall) depths.push(depth);
      }
      flame.paint.paint(pen, this.scene(pen, width, (depth) => this.rowTop(depth)), depths);
      this.place(this.hoverBox, this.hovered);
      this.place(this.focusBox, this.focused);
      this.drawnMs = performance.now() - began;
    }

    /* Put a box of the page over a node's. */
    place(over, node) {
      const { model, scroll } = this;
      over.hidden = node === null || !model || node >= model.size || model.depth[node] >= this.rows;
      if (over.hidden) return;
      const scale = scroll.clientWidth / (this.to - this.from);
      const left = Math.max(0, (model.x[node] - this.from) * scale);
      const right = Math.min(scroll.clientWidth, (model.x[node] + model.width[node] - this.from) * scale);
      over.hidden = right < 0 || left > scroll.clientWidth;
      over.style.transform = `translate(${left}px, ${this.rowTop(model.depth[node])}px)`;
      over.style.width = `${Math.max(2, right - left)}px`;
      over.style.height = `${this.row - 1}px`;
    }

    recolour() {
      if (!this.model) return;
      const { token, palette } = flame.colours;
      this.colours = {
        ...flame.colours.ofModel(this.model, this.kind),
        neutral: palette().neutral,
        match: token(this.kind === "diff" ? "ink" : "accent"),
        quiet: token("ink-2"),
      };
      this.request();
    }

    resized() {
      if (!this.model || !this.model.size || !this.scroll.clientWidth) return;
      this.grow();
      if (this.options.up) this.scroll.scrollTop = this.scroll.scrollHeight;
      this.draw();
    }

    grow() {
      this.rows = flame.paint.rowsSeen(this.model, this.zoomed, this.scroll.clientWidth || 800);
      this.extent.style.height = `${this.height}px`;
    }

    /* Glide to the zoomed node's place; at once where motion is not wanted. */
    glide() {
      const start = [this.from, this.to];
      const { model, zoomed } = this;
      const aim = [model.x[zoomed], model.x[zoomed] + Math.max(model.width[zoomed], Number.EPSILON)];
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const turn = (this.moving += 1);
      const began = performance.now();
      const step = (now) => {
        if (turn !== this.moving) return;
        const done = still ? 1 : Math.min(1, Math.max(0, (now - began) / ZOOM_MS));
        const eased = 1 - (1 - done) ** 3;
        [this.from, this.to] = start.map((value, side) => value + (aim[side] - value) * eased);
        this.draw();
        if (done < 1) requestAnimationFrame(step);
      };
      step(began);
    }

    /* Show another model from its root. kind: its colours, see flame_colours.js. */
    set(model, kind) {
      Object.assign(this, { model, kind, found: null, zoomed: 0, focused: null, hovered: null, from: 0, to: 1 });
      this.row = kind === "heat" ? ROW.phases : ROW.code;
      this.moving += 1;
      this.recolour();
      if (model.size) this.grow();
      if (this.options.up) this.scroll.scrollTop = this.scroll.scrollHeight;
    }

    widen(widths) {
      flame.model.layout(this.model, widths);
      this.zoom(this.zoomed);
    }

    find(found) {
      this.found = found;
      this.request();
    }

    zoom(node, { glides = true } = {}) {
      this.zoomed = node;
      this.grow();
      if (!glides) [this.from, this.to] = [this.model.x[node], this.model.x[node] + this.model.width[node]];
      this.glide();
      const top = this.rowTop(Math.max(0, this.model.depth[node] - 2));
      const { scrollTop, clientHeight } = this.scroll;
      if (!this.options.up && (top < scrollTop || top > scrollTop + clientHeight - 4 * this.row)) this.scroll.scrollTop = top;
    }

    /* Where the keyboard is; brought into view. */
    look(node) {
      this.focused = node;
      this.place(this.focusBox, node);
      const top = this.rowTop(this.model.depth[node]);
      const { scrollTop, clientHeight } = this.scroll;
      if (top < scrollTop) this.scroll.scrollTop = top - this.row;
      else if (top + this.row > scrollTop + clientHeight) this.scroll.scrollTop = top + 2 * this.row - clientHeight;
    }

    hover(node) {
      this.hovered = node;
      this.place(this.hoverBox, node);
    }

    /* The node under a point of the window, or null. */
    at(clientX, clientY) {
      const { model } = this;
      if (!model || !model.size) return null;
      const bounds = this.extent.getBoundingClientRect();
      const y = clientY - bounds.top;
      const depth = Math.floor((this.options.up ? this.height - y : y) / this.row);
      const row = depth >= 0 && depth < this.rows ? model.rows[depth] : undefined;
      if (!row) return null;
      const x = this.from + ((clientX - bounds.left) / this.scroll.clientWidth) * (this.to - this.from);
      const node = row[flame.paint.firstAfter(model, row, x)];
      return node !== undefined && model.x[node] <= x ? node : null;
    }

    /* All rows onto another canvas; without a pen only their height, px. */
    picture(pen, width) {
      if (pen) {
        const depths = Array.from({ length: this.rows }, (_, depth) => depth);
        const top = (depth) => (this.options.up ? this.rows - depth - 1 : depth) * this.row;
        flame.paint.paint(pen, this.scene(pen, width, top), depths);
      }
      return this.rows * this.row;
    }

    end() {
      this.follow.disconnect();
      this.themes.disconnect();
      this.moving += 1;
      this.host.replaceChildren();
    }
  }

  flame.chart = (host, options) => new Chart(host, options);
})();
