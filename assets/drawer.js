/* A drawer over the page, as the plan's: title, body, foot. Closed with Escape, its button, a
   click beside it; the focus goes back to where it was. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { element } = pyrometer.dom;

  function drawer(id, title, body, foot, from = document.activeElement) {
    const close = element("button", "btn-close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    const heading = element("h2", "plan-title", title);
    heading.id = `${id}-title`;
    const node = element("dialog", "plan", [
      element("header", "plan-head", [heading, close]),
      element("div", "plan-body", body),
      element("div", "plan-foot", foot),
    ]);
    node.id = id;
    node.setAttribute("aria-labelledby", heading.id);
    close.addEventListener("click", () => node.close());
    node.addEventListener("click", (event) => event.target === node && node.close());
    node.addEventListener("close", () => {
      node.remove();
      if (from && from.isConnected) from.focus();
    });
    document.body.append(node);
    node.showModal();
    return node;
  }

  pyrometer.drawer = drawer;
})();
