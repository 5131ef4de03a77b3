/* Pictures and data out of the console: who supplies them, how they are named, headed and saved.

   pyrometer.pictures.provide(panelId, {png(scale), svg(), csv(), rows()})
     for a panel whose picture or data cannot be found in its own elements. All are optional and
     may return promises; absent ones are made from the panel itself where that is possible.
     png(scale)  a canvas or a Blob of the drawing alone, scale times its size on the screen
     svg()       the text of an SVG with width and height, without a heading
     rows()      {columns: ["Time", "p50, ms"], rows: [[...]]}: texts, numbers, Dates, null
     csv()       text; made of rows() where it is absent
   pyrometer.pictures.page() | panel(section) | svg(section) | csv(section) | rows(section)
     what picture.js, picture_svg.js and panel_data.js make */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element } = pyrometer.dom;
  const { bytes, clock, count, day, two } = pyrometer.format;
  const providers = new Map(); // panel id -> what it supplies

  const provided = (panel) => providers.get(panel.id) || {};

  /* "Latency" and "Latency, ms" of a panel; names of models stay text. */
  function titleOf(panel) {
    const heading = panel.querySelector(":scope > .panel-head h2, h2, h3");
    const full = heading ? heading.textContent.trim() : panel.getAttribute("aria-label") || panel.id;
    const unit = heading && heading.querySelector(".unit");
    const name = unit ? full.replace(unit.textContent, "").trim() : full;
    return { name: name.slice(0, 200), full: full.slice(0, 200) };
  }

  /* Where and when: the lines that every picture bears. */
  function heading() {
    const { from, to } = pyrometer.time.range();
    const now = Date.now() / 1000;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
    const console_ = byId("console").dataset.title;
    const version = pyrometer.state.answer ? `, version ${pyrometer.state.answer.version}` : "";
    const last = day(from) === day(to) ? clock(to) : `${day(to)} ${clock(to)}`;
    return {
      title: `${console_}, ${pyrometer.router.title().toLowerCase()}, ${location.host}`,
      range: `${day(from)} ${clock(from)} to ${last} (${zone})`,
      captured: `captured ${day(now)} ${clock(now)}`,
      source: `${console_} ${location.host}${version}`,
    };
  }

  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40);

  /* pyrometer-live-latency-20261125-140312.png */
  function fileName(what, ending) {
    const at = new Date();
    const date = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
    const time = `${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}`;
    const part = what && slug(what) ? `-${slug(what)}` : "";
    return `pyrometer-${pyrometer.router.current()}${part}-${date}-${time}.${ending}`;
  }

  function save(blob, name) {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    return `${name}, ${bytes(blob.size)}`;
  }

  const sides = ({ width, height }) => `${count(width)} x ${count(height)} px`;

  pyrometer.pictures = {
    provide: (panelId, supplies) => providers.set(panelId, supplies),
    provided,
    titleOf,
    heading,
    fileName,
    save,
    sides,
  };
})();
