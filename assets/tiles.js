/* Tiles: number, status, change in words, and its course over the range that is shown. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, setText, setStatus } = pyrometer.dom;
  const { figure, known } = pyrometer.format;
  const SVG = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT, STEPS] = [240, 26, 120];
  const FROM_ZERO = new Set(["requests_per_s", "error_percent", "hit_percent", "p50_ms", "p95_ms", "p99_ms", "cpu_percent"]);

  /* The range in STEPS slots, each the maximum of its seconds; null where there is none. */
  function slots(rows, column, { from, seconds }) {
    const values = Array(STEPS).fill(null);
    for (const row of rows) {
      const value = row[column];
      const slot = Math.min(STEPS - 1, Math.floor(((row[0] - from) / seconds) * STEPS));
      if (slot < 0 || !known(value)) continue;
      if (values[slot] === null || value > values[slot]) values[slot] = value;
    }
    return values;
  }

  function path(values, fromZero) {
    const seen = values.filter((value) => value !== null);
    if (!seen.length) return "";
    const high = Math.max(...seen);
    const low = fromZero ? 0 : Math.min(...seen);
    const spread = high - low || 1;
    let pen = "M";
    let line = "";
    values.forEach((value, slot) => {
      if (value === null) {
        pen = "M";
        return;
      }
      const x = ((slot + 0.5) / STEPS) * WIDTH;
      const y = high === low ? (fromZero && high > 0 ? 3 : HEIGHT - 2) : HEIGHT - 2 - ((value - low) / spread) * (HEIGHT - 5);
      line += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      if (pen === "M") line += "h0.01"; // a single point is seen too
      pen = "L";
    });
    return line;
  }

  function spark(host, line) {
    let stroke = host.querySelector("path");
    if (!stroke) {
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      svg.setAttribute("preserveAspectRatio", "none");
      stroke = document.createElementNS(SVG, "path");
      svg.append(stroke);
      host.append(svg);
    }
    if (stroke.getAttribute("d") !== line) stroke.setAttribute("d", line);
  }

  function drawTile(tile) {
    const node = byId(`tile-${tile.id}`);
    if (!node) return;
    const unit = node.querySelector(".tile-unit").textContent;
    const status = setStatus(node, tile.status);
    setStatus(node.querySelector(".mark"), status);
    setText(node.querySelector(".tile-status"), status);
    setText(node.querySelector(".tile-value"), figure(tile.value, unit));
    node.toggleAttribute("data-empty", !known(tile.value));
    setText(node.querySelector(".tile-words"), tile.delta || tile.reason || "no data");
    const source = pyrometer.charts.sourceFor([tile.id]);
    const column = source.columns.indexOf(tile.id);
    const line = column > 0 ? path(slots(source.rows, column, pyrometer.time.range()), FROM_ZERO.has(tile.id)) : "";
    spark(node.querySelector(".tile-spark"), line);
  }

  function draw(state) {
    for (const tile of state.answer.tiles || []) drawTile(tile);
  }

  pyrometer.pages.add("live", { draw });
})();
