/* What was done, what failed, and what is under way for longer than half a second. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, element, setText } = pyrometer.dom;
  const TOAST_MS = 12000;
  const SOON_MS = 500; // what ends sooner shows its result only
  const MAX_TOASTS = 4;

  function closeButton(node) {
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => node.remove());
    return close;
  }

  /* Good news goes by itself, but not while it is being read; a failure stays. */
  function leaveLater(node) {
    setTimeout(() => {
      if (node.matches(":hover, :focus-within")) leaveLater(node);
      else node.remove();
    }, TOAST_MS);
  }

  /* follow: {words, href} | {words, press}, what may come next. */
  function followUp(follow, node) {
    const next = element(follow.href ? "a" : "button", "toast-next", follow.words);
    if (follow.href) next.href = follow.href;
    else next.type = "button";
    next.addEventListener("click", () => {
      node.remove();
      if (follow.press) follow.press();
    });
    return next;
  }

  function fill(node, status, title, text, follow) {
    const mark = element("span", "mark");
    mark.dataset.status = status;
    const body = element("div", "toast-text", [
      element("div", "toast-title", title), element("div", "toast-detail", text),
    ]);
    if (follow) body.append(followUp(follow, node));
    node.replaceChildren(mark, body, closeButton(node));
    node.setAttribute("role", status === "ok" ? "status" : "alert");
    node.dataset.status = status;
    delete node.dataset.busy;
    if (status === "ok") leaveLater(node);
  }

  function put(node) {
    const host = byId("toasts");
    host.append(node);
    const ended = () => [...host.children].filter((one) => !("busy" in one.dataset));
    while (host.children.length > MAX_TOASTS && ended().length) ended()[0].remove();
  }

  function toast(status, title, text, follow) {
    const node = element("div", "toast show");
    fill(node, status, title, text, follow);
    put(node);
    return node;
  }

  function busyNode(title, seconds) {
    const spinner = element("span", "spinner");
    spinner.setAttribute("aria-hidden", "true");
    const passed = element("span", "toast-passed num"); // not read aloud each second
    passed.setAttribute("aria-hidden", "true");
    const line = element("div", "toast-line", element("div", "toast-line-fill"));
    line.hidden = !seconds;
    const node = element("div", "toast show", [
      spinner, element("div", "toast-text", [element("div", "toast-title", title), passed]), line,
    ]);
    node.setAttribute("role", "status");
    node.dataset.busy = "";
    return node;
  }

  /* Show that something runs; seconds: how long it takes where that is known, else null.
     end(status, title, text, follow) puts the outcome in its place. */
  function progress(title, seconds = null) {
    const began = performance.now();
    const node = busyNode(title, seconds);
    const tell = () => {
      const passed = (performance.now() - began) / 1000;
      const whole = Math.floor(passed);
      setText(node.querySelector(".toast-passed"), seconds ? `${Math.min(whole, seconds)} of ${seconds} s` : `${whole} s`);
      if (seconds) node.querySelector(".toast-line-fill").style.width = `${Math.min(100, (100 * passed) / seconds)}%`;
    };
    tell();
    const soon = setTimeout(() => put(node), SOON_MS);
    const timer = setInterval(tell, 250);
    return {
      end(status, heading, text, follow) {
        clearTimeout(soon);
        clearInterval(timer);
        if (!node.isConnected) return toast(status, heading, text, follow);
        fill(node, status, heading, text, follow);
        return node;
      },
    };
  }

  /* What failed before has been done by now. */
  function dropToasts(title) {
    for (const node of [...byId("toasts").children]) {
      const heading = node.querySelector(".toast-title");
      if (heading && heading.textContent === title && !("busy" in node.dataset)) node.remove();
    }
  }

  pyrometer.toast = toast;
  pyrometer.dropToasts = dropToasts;
  pyrometer.progress = progress;
})();
