/* Addresses to hand on: what is seen now, with the stretch of time pinned. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});

  /* range=FROM-TO in UTC seconds, as the time picker writes it. */
  function pinned() {
    const { key, from, to, rolling } = pyrometer.time.range();
    return rolling ? `${Math.floor(from)}-${Math.ceil(to)}` : key;
  }

  /* The page that is shown; panel: the id of what it scrolls to; pin: with from and to even
     where the range rolls. */
  function here({ panel = "", pin = true } = {}) {
    const params = new URLSearchParams(location.search);
    if (pin) {
      params.set("range", pinned());
      params.delete("live");
    }
    const query = String(params) ? `?${params}` : "";
    const hash = panel ? `#${encodeURIComponent(panel)}` : location.hash;
    return `${location.origin}${location.pathname}${query}${hash}`;
  }

  const copy = (link, detail = link) =>
    pyrometer.clipboard.write(link, { done: "Copied the link", what: "the link is", detail });

  pyrometer.links = { here, copy, copyHere: (options) => copy(here(options)) };
})();
