/* First of the scripts (Dash loads assets by name): numbers, bytes and times in words, DOM
   building with text only, never markup; POST with JSON. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});

  /* Where a proxy has this server: "" or a path as "/pyrometer", which Dash was told too. What is
     asked for by a path of ours is asked for below it. */
  const config = document.getElementById("_dash-config");
  const prefix = config ? JSON.parse(config.textContent).requests_pathname_prefix.replace(/\/$/, "") : "";
  const below = (path) => path === prefix || path.startsWith(`${prefix}/`);
  const base = {
    at: (path) => (prefix && path.startsWith("/") && !below(path) ? prefix + path : path),
    strip: (path) => (prefix && below(path) ? path.slice(prefix.length) || "/" : path),
  };
  if (prefix) {
    const plain = window.fetch;
    window.fetch = (asked, how) => plain(typeof asked === "string" ? base.at(asked) : asked, how);
    const settle = (event) => {
      const link = event.target.closest && event.target.closest('a[href^="/"]');
      if (link) link.setAttribute("href", base.at(link.getAttribute("href")));
    };
    for (const kind of ["pointerdown", "focusin", "click"]) document.addEventListener(kind, settle, true);
  }
  pyrometer.base = base;

  const known = (value) => typeof value === "number" && Number.isFinite(value);

  function number(value) {
    if (!known(value)) return "–";
    const size = Math.abs(value);
    const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 0.995 ? 2 : 3;
    return value.toLocaleString("en-US", {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
  }

  const count = (value) => (known(value) ? Math.round(value).toLocaleString("en-US") : "–");
  const percent = (value) => (known(value) ? value.toFixed(value >= 99.95 ? 0 : 1) : "–");

  function figure(value, unit) {
    if (unit === "%") return percent(value);
    return number(value);
  }

  /* In steps of a thousand, as the metric catalogue counts: 1 MB is 10^6 bytes. */
  function bytes(value) {
    if (!known(value)) return "–";
    const units = ["B", "kB", "MB", "GB", "TB"];
    let step = 0;
    while (value >= 999.5 && step < units.length - 1) {
      value /= 1000;
      step += 1;
    }
    const digits = step === 0 || value >= 9.95 ? 0 : 1;
    return `${value.toFixed(digits).replace(/\.0$/, "")} ${units[step]}`;
  }

  const two = (value) => String(value).padStart(2, "0");

  /* seconds since the epoch -> "14:03:12" in the browser's time zone */
  function clock(seconds) {
    const at = new Date(seconds * 1000);
    return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }

  function day(seconds) {
    const at = new Date(seconds * 1000);
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  }

  function duration(seconds) {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  }

  const plural = (many, one) => `${count(many)} ${one}${many === 1 ? "" : "s"}`;

  /* Plotly reads a little HTML in labels; a name must stay a name. */
  const plotlyText = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* element("td", "col-x", "text" | node | [nodes]) */
  function element(tag, className, content) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (Array.isArray(content)) node.append(...content);
    else if (content !== undefined && content !== null) node.append(content);
    return node;
  }

  /* Write text only where it changed, so that a selection or a hover survives the tick. */
  function setText(node, text) {
    const words = text === null || text === undefined ? "" : String(text);
    if (node && node.textContent !== words) node.textContent = words;
  }

  function setStatus(node, status) {
    const word = ["ok", "warning", "critical"].includes(status) ? status : "unknown";
    if (node && node.dataset.status !== word) node.dataset.status = word;
    return word;
  }

  /* JSON in the body both ways; throws an Error with the server's own words. */
  async function post(url, body, limitMs) {
    let response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(limitMs),
      });
    } catch (failure) {
      const late = failure.name === "TimeoutError";
      throw new Error(late ? `no answer within ${limitMs / 1000} s` : "no answer from the server");
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      const problem = answer && typeof answer.error === "string" ? answer.error : "";
      const id = response.headers.get("X-Request-Id");
      throw new Error(`${problem || `HTTP ${response.status}`}${id ? ` (request ${id})` : ""}`);
    }
    return answer || {};
  }

  /* Run work whose fault must not stop the rest; each fault is told once. */
  const faults = new Set();
  function guard(what, work) {
    try {
      work();
    } catch (fault) {
      if (!faults.has(fault.message)) console.error(`pyrometer ${what}:`, fault);
      faults.add(fault.message);
    }
  }

  const byId = (id) => document.getElementById(id);
  pyrometer.format = {
    known, number, count, percent, figure, bytes, clock, day, duration, plural, plotlyText, two,
  };
  pyrometer.dom = { byId, element, setText, setStatus };
  pyrometer.post = post;
  pyrometer.guard = guard;
})();
