/* The Settings page's facts: versions, machine, process, the state folder. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const { bytes, count, duration, known } = pyrometer.format;
  let startedAt = null; // seconds, this browser's clock

  const list = (className, pairs) => element("dl", className, pairs.flatMap(([name, value]) => [
    element("dt", "", name), value instanceof Node ? value : element("dd", "num", String(value)),
  ]));

  function uptime() {
    const node = byId("settings-uptime");
    if (node && startedAt !== null) setText(node, duration(Math.max(0, Date.now() / 1000 - startedAt)));
  }

  function parts(state) {
    const pairs = Object.entries(state.parts).filter(([, size]) => size > 0).slice(0, 8);
    return list("settings-facts settings-parts", pairs.map(([name, size]) => [name, bytes(size)]));
  }

  // What processes that open models are kept from on this system.
  function kept({ network, processes }) {
    return `${network ? "no network" : "this server's network"}, ${processes ? "processes of their own" : "processes shared"}`;
  }

  function draw(about) {
    startedAt = Date.now() / 1000 - about.uptime_s;
    const up = element("dd", "num");
    up.id = "settings-uptime";
    const { state } = about;
    byId("settings-about").replaceChildren(
      list("settings-facts", [
        ["Pyrometer", about.version], ["Running for", up], ["Process", about.process_id],
        ["Python", about.python], ["System", about.system], ["Processor", about.processor],
        ["Cores", known(about.cores) ? count(about.cores) : "–"], ["Memory", bytes(about.memory_bytes)],
        ["Compiling", kept(about.confinement)],
      ]),
      element("h3", "settings-sub", "State folder"),
      list("settings-facts", [
        ["Folder", state.folder], ["Size", `${state.whole ? "" : "more than "}${bytes(state.bytes)}`],
      ]),
      parts(state),
      element("h3", "settings-sub", "Libraries"),
      element("ul", "settings-libraries num", Object.entries(about.libraries).map(([name, version]) => (
        element("li", "", [element("span", "", name), ` ${version}`])))),
    );
    uptime();
  }

  pyrometer.settingsAbout = { draw };
  pyrometer.pages.add("settings", { draw: uptime });
})();
