/* Boxes and words of an icicle onto a canvas: rows between two heights, boxes of a part.

     scene   model, colours        what is drawn (flame_model.js, flame_colours.js)
             from, to, width       the shares of the root that the width shows, px
             row, rowTop(depth)    height of a row and where it begins, px
             found, zoomed, cell   matches or null; the zoomed node; width of a character

   Boxes under LEAST are joined to one grey sliver, so that their time is not seen as none. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const LEAST = 0.8; // of a box, px
  const PAD = 4;
  const LINED = 3; // a match is underlined from this width on, px
  const DIM = 0.3;
  const TALL = 30; // rows from this height on hold a second line
  const WIDE_FROM = 0x1100; // characters that take two cells

  const plain = (text) => /^[\x20-\x7e]*$/.test(text);
  const cells = (text) => (plain(text) ? text.length : [...text].reduce((sum, one) => sum + (one.codePointAt(0) >= WIDE_FROM ? 2 : 1), 0));

  /* The text that fits in so many cells of a fixed font. */
  function fitted(text, room) {
    if (text.length <= room && cells(text) <= room) return text;
    if (room < 3) return "";
    const cut = text.slice(0, Math.floor(room) - 1);
    return plain(cut) ? `${cut}…` : `${[...cut].slice(0, Math.floor((room - 1) / 2)).join("")}…`;
  }

  /* The first place in a row whose box ends after x. */
  function firstAfter(model, row, x) {
    let [low, high] = [0, row.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (model.x[row[middle]] + model.width[row[middle]] <= x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /* Name and, beside or below it, module or share. */
  function words(pen, scene, node, left, top, room) {
    const { name, module } = scene.model.described[node];
    const tall = scene.row >= TALL;
    const middle = top + (tall ? scene.row * 0.3 : scene.row / 2);
    const first = fitted(name, room);
    pen.fillText(first, left + PAD, middle);
    const rest = tall ? room : room - cells(first) - 2;
    const second = tall
      ? `${flame.words.percent(flame.model.share(scene.model, node))}, ${flame.words.amount(scene.model.total[node], scene.model.unit)}`
      : module;
    if (!second || rest < (tall ? 6 : 8)) return;
    pen.globalAlpha *= tall ? 0.9 : 0.72;
    pen.fillText(fitted(second, rest), left + PAD + (tall ? 0 : (cells(first) + 2) * scene.cell), tall ? top + scene.row * 0.7 : middle);
  }

  function box(pen, scene, node, left, width, top, lineage) {
    const { colours, found } = scene;
    const dimmed = (found && !found.has(node)) || lineage.has(node);
    pen.globalAlpha = dimmed ? DIM : 1;
    pen.fillStyle = colours.fill[node];
    pen.fillRect(left, top, Math.max(LEAST, width - (width > 3 ? 1 : 0.25)), scene.row - 1);
    if (found && found.has(node) && width >= LINED) {
      pen.fillStyle = colours.match;
      pen.fillRect(left, top + scene.row - 4, width - 1, 3);
    }
    const room = (width - 2 * PAD) / scene.cell;
    if (room < 3) return;
    pen.globalAlpha = dimmed ? 0.7 : 1;
    pen.fillStyle = dimmed ? colours.quiet : colours.ink[node];
    words(pen, scene, node, left, top, room);
  }

  /* One row; box by box from the first that is seen. */
  function paintRow(pen, scene, depth, lineage) {
    const { model, from, found, width } = scene;
    const scale = width / (scene.to - from);
    const row = model.rows[depth] || [];
    const top = scene.rowTop(depth);
    let sliver = null; // [left, right] of the small boxes joined so far
    const flush = () => {
      if (sliver && sliver[1] - sliver[0] >= 0.5) {
        pen.globalAlpha = found ? DIM : 0.8;
        pen.fillStyle = scene.colours.neutral;
        pen.fillRect(sliver[0], top, sliver[1] - sliver[0], scene.row - 1);
      }
      sliver = null;
    };
    for (let at = firstAfter(model, row, from); at < row.length; at += 1) {
      const node = row[at];
      const left = Math.max(0, (model.x[node] - from) * scale);
      if (left >= width) break;
      const right = Math.min(width, (model.x[node] + model.width[node] - from) * scale);
      if (right - left >= LEAST || (found && found.has(node))) {
        flush();
        box(pen, scene, node, left, right - left, top, lineage);
      } else if (sliver && left - sliver[1] < 1) {
        sliver[1] = right;
      } else {
        flush();
        sliver = [left, right];
      }
    }
    flush();
  }

  function paint(pen, scene, depths) {
    const above = flame.model.lineage(scene.model, scene.zoomed).slice(0, -1);
    const lineage = new Set(scene.zoomed > 0 ? [0, ...above] : []);
    pen.textBaseline = "middle";
    for (const depth of depths) paintRow(pen, scene, depth, lineage);
    pen.globalAlpha = 1;
  }

  /* How many rows hold a box of LEAST while a node is zoomed. */
  function rowsSeen(model, zoomed, width) {
    const least = (LEAST / Math.max(1, width)) * model.width[zoomed];
    const end = model.x[zoomed] + model.width[zoomed];
    const holds = (row) => {
      for (let at = firstAfter(model, row, model.x[zoomed]); at < row.length && model.x[row[at]] < end; at += 1) {
        if (model.width[row[at]] >= least) return true;
      }
      return false;
    };
    let depth = model.depth[zoomed] + 1;
    while (depth < model.rows.length && holds(model.rows[depth])) depth += 1;
    return depth;
  }

  flame.paint = { paint, rowsSeen, firstAfter, font: () => `12px ${flame.colours.token("mono")}` };
})();
