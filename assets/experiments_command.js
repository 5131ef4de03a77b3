/* Lines for a shell: who is answered by which variant, and how an experiment is made again. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const experiments = (pyrometer.experiments = pyrometer.experiments || {});
  const { byId, element, setText } = pyrometer.dom;
  const { cut, controlOf, candidatesOf } = experiments.words;
  const PATH = "/performance/experiments";
  const LIMIT_MS = 5000;
  let model = ""; // whose request is known
  let request = "";

  /* An experiment as it would be made again. */
  function definitionOf(e) {
    const isShadow = e.mode === "shadow";
    const given = (pairs) => Object.fromEntries(Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined));
    const variant = ({ name, version, backend, batching, max_wait_us, caches, weight }) =>
      given({ name, version, backend, batching, max_wait_us, caches, weight: isShadow ? null : weight });
    return given({
      name: e.name, model: e.model, mode: e.mode, control: variant(controlOf(e)), candidates: candidatesOf(e).map(variant), header: e.header || null,
      fraction: e.fraction, measure: isShadow ? null : e.measure, analysis: e.analysis, alpha: e.alpha, guards: e.guards,
    });
  }

  const shell = (body) => `curl -s ${location.origin}${pyrometer.base.at(PATH)} -H 'Content-Type: application/json' -d ${pyrometer.command.quoted(JSON.stringify(body))}`;

  async function learn(name) {
    [model, request] = [name, ""];
    try {
      const response = await fetch(`/v2/models/${encodeURIComponent(name)}`, { signal: AbortSignal.timeout(LIMIT_MS) });
      if (response.ok && model === name) request = pyrometer.firstRequest.command(name, await response.json());
    } catch (failure) {
      // the words stand without a line
    }
  }

  /* A request whose answer's headers are shown. */
  function asked(e) {
    if (model !== e.model) learn(e.model);
    if (!request) return "";
    const sticky = e.header ? ` -H ${pyrometer.command.quoted(`${e.header}: 42`)}` : "";
    return request.replace("curl -s ", `curl -s -o /dev/null -D - `) + sticky;
  }

  function draw(e) {
    const host = byId("experiments-command");
    const splits = Boolean(e) && e.state === "running" && e.mode !== "shadow";
    const line = !e ? "" : splits ? asked(e) : e.state === "running" ? "" : shell({ ...definitionOf(e), start: true });
    host.hidden = !line;
    if (!line) return;
    if (!host.firstChild) {
      const { node, code } = pyrometer.command.line("");
      code.tabIndex = 0;
      node.prepend(element("span", "muted"));
      host.append(node);
    }
    setText(host.querySelector(".muted"), splits ? "Each answer names its variant, in the header x-variant" : e.state === "draft" ? "The same from a shell" : "To run it again");
    setText(host.querySelector("code"), cut(line, 6000));
  }

  experiments.command = { draw, definitionOf, shell };
})();
