/* The page's exports: the server's formats by link, PNG drawn here, and the link itself. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { byId, element } = pyrometer.dom;
  const { clock, day, two } = pyrometer.format;
  const SCALE = 2;
  const LEAST_WIDTH = 900;
  const MAX_SIDE_PX = 16000; // of a canvas, in the browsers in use
  const [PAD, LINE, FOOT] = [16, 18, 28];
  const FORMATS = [
    ["folded", "Folded stacks", "folded.txt"],
    ["speedscope", "speedscope JSON", "speedscope.json"],
    ["pprof", "pprof", "pb.gz"],
    ["svg", "SVG", "svg"],
  ];

  function fileName(ending) {
    const at = new Date();
    const date = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
    return `pyrometer-flame-${date}-${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}.${ending}`;
  }

  /* What the picture shows, in lines: title, time and zone, filters, time of capture. */
  function stamp(params, answer) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
    const now = Date.now() / 1000;
    const filters = flame.state.FILTERS.filter((key) => params[key])
      .map((key) => (key === "capture" ? flame.captures.nameOf(params.capture) : `${key} ${params[key]}`));
    for (const key of ["collapse", "invert"]) if (params[key] === "1") filters.push(key === "collapse" ? "recursion collapsed" : "inverted");
    if (params.focus) filters.push(`callers and callees of ${params.focus}`);
    if (params.q) filters.push(`searched ${params.q}: ${byId("flame-found").textContent}`);
    const against = answer.against ? `, ${flame.state.compared(params, answer)}` : "";
    const { from, to } = answer.window;
    return [
      `${byId("panel-flame-title").textContent}, ${location.host}`,
      `${day(from)} ${clock(from)} to ${clock(to)} (${zone})${against}`,
      `${filters.length ? filters.join("; ") : "no filters"}`,
      `${byId("flame-asof").firstChild ? byId("flame-asof").firstChild.textContent : ""}; captured ${day(now)} ${clock(now)}`,
    ];
  }

  function write(pen, lines, width) {
    const { token } = flame.colours;
    pen.textBaseline = "alphabetic";
    lines.forEach((line, at) => {
      pen.font = `${at ? "12px" : "600 15px"} ${token("font")}`;
      pen.fillStyle = token(at ? "ink-2" : "ink");
      pen.fillText(line.slice(0, 400), PAD, PAD + LINE * (at + 0.8), width - 2 * PAD);
    });
  }

  function legend(pen, top, compared) {
    if (!compared) return;
    const { token, palette } = flame.colours;
    pen.font = `12px ${token("font")}`;
    pen.textBaseline = "middle";
    pen.fillStyle = token("ink-2");
    pen.fillText("share shrank", PAD, top);
    palette().diff.forEach((colour, at) => {
      pen.fillStyle = colour;
      pen.fillRect(PAD + 88 + at * 16, top - 6, 15, 12);
    });
    pen.fillStyle = token("ink-2");
    pen.fillText("share grew", PAD + 96 + palette().diff.length * 16, top);
  }

  function picture(params, answer) {
    const charts = flame.page.panel().charts().reverse(); // callers above callees
    const width = Math.max(LEAST_WIDTH, charts[0].scroll.clientWidth + 2 * PAD);
    const lines = stamp(params, answer);
    const head = PAD + LINE * lines.length + 8;
    const tall = charts.reduce((sum, chart) => sum + chart.picture(null, width) + 8, head) + FOOT;
    const scale = Math.min(SCALE, MAX_SIDE_PX / tall);
    const canvas = element("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(tall * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = flame.colours.token("bg");
    pen.fillRect(0, 0, width, tall);
    write(pen, lines, width);
    let top = head;
    for (const chart of charts) {
      pen.save();
      pen.translate(PAD, top);
      top += chart.picture(pen, width - 2 * PAD) + 8;
      pen.restore();
    }
    legend(pen, top + 8, flame.model.isCompared(answer));
    return canvas;
  }

  function save(blob, name) {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  function png() {
    const answer = flame.page.answer();
    if (!answer || byId("flame-page").dataset.state === "empty") {
      pyrometer.toast("critical", "Export PNG failed", "Nothing is drawn yet");
      return;
    }
    const name = fileName("png");
    picture(pyrometer.url.all(), answer).toBlob((blob) => {
      if (!blob) return pyrometer.toast("critical", "Export PNG failed", "The image came out empty");
      save(blob, name);
      return pyrometer.toast("ok", "Exported the flame graph", name);
    }, "image/png");
  }

  const copyLink = () => pyrometer.links.copy(flame.state.link(pyrometer.url.all()), "It opens this very view, pinned in time");

  /* The links follow the address each time the menu is opened. */
  function fill() {
    const params = pyrometer.url.all();
    for (const [format, , ending] of FORMATS) {
      const link = byId(`flame-export-${format}`);
      link.href = flame.state.address(params, { format, pinned: true });
      link.download = fileName(ending);
      link.hidden = params.view === "phases"; // the server gives phases as JSON only
    }
  }

  function item(tag, id, words, press) {
    const node = element(tag, "action btn btn-sm btn-link", words);
    node.id = id;
    if (tag === "button") node.type = "button";
    node.addEventListener("click", () => {
      if (press) press();
      byId("flame-export").open = false;
    });
    return node;
  }

  function wire() {
    const links = FORMATS.map(([format, words]) => item("a", `flame-export-${format}`, words, fill));
    byId("flame-export-menu").replaceChildren(
      ...links,
      item("button", "flame-export-png", "PNG picture", png),
      item("button", "flame-copy-link", "Copy link", copyLink),
    );
    byId("flame-export").addEventListener("toggle", fill);
  }

  flame.exports = { wire };
})();
