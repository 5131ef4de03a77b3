/* Time saved in the last hour: GET /performance/effectiveness, beside the Caches page's figures. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const caches = (pyrometer.caches = pyrometer.caches || {});
  const { byId, setText } = pyrometer.dom;
  const { bytes, count, known } = pyrometer.format;
  const PATH = "/performance/effectiveness";
  const REFRESH_MS = 5000;
  const CACHES = ["responses", "results", "disk", "redis", "embeddings"];
  let under = null;
  let finishedAt = -Infinity;


  /* "41 s", or "nothing". */
  const work = (seconds) => (Math.abs(seconds) < 5e-7 ? "nothing" : caches.took(seconds * 1000));

  function span(answer) {
    const minutes = Math.round(answer.hour_s / 60);
    return minutes >= 59 ? "the last hour" : minutes >= 2 ? `the ${minutes} minutes since the start` : "the minute since the start";
  }

  function sentence(answer) {
    const hour = answer.saved.hour_s;
    const kept = CACHES.reduce((total, name) => total + hour[name], 0);
    const { saved_bytes: saved, spent_s: spent } = answer.gzip.hour;
    const gzip = saved > 0 ? `gzip kept ${bytes(saved)} off the network for ${work(spent)}` : "gzip packed nothing";
    return `In ${span(answer)} the plan saved ${work(hour.plan)} of work, caches ${work(kept)}, batching ${work(hour.batching)}; ${gzip}.`;
  }

  function note(answer, name) {
    const total = answer.saved.total_s[name] - answer.saved.lost_s[name];
    return `${work(total)} since the start`;
  }

  function draw(answer) {
    setText(byId("caches-saved-words"), sentence(answer));
    for (const [name, seconds] of Object.entries(answer.saved.hour_s)) {
      setText(document.querySelector(`[data-saved=${name}]`), Math.abs(seconds) < 5e-7 ? "–" : caches.took(seconds * 1000));
      setText(document.querySelector(`[data-saved-note=${name}]`), note(answer, name));
    }
    const { hour } = answer.gzip;
    setText(document.querySelector("[data-saved=gzip]"), hour.saved_bytes > 0 ? bytes(hour.saved_bytes) : "–");
    setText(document.querySelector("[data-saved-note=gzip]"), `for ${work(hour.spent_s)} of packing`);
    const unpriced = answer.unpriced_hits;
    setText(byId("readout-caches-saved"), known(unpriced) && unpriced > 0 ? `${count(unpriced)} hits could not be priced: no run to compare with` : "");
  }

  async function load() {
    if (under) return;
    under = new AbortController();
    const page = byId("caches-page");
    try {
      draw(await pyrometer.flame.state.ask(PATH, under.signal));
      page.dataset.savedState = "shown";
    } catch (failure) {
      if (!under.signal.aborted) {
        page.dataset.savedState = "stale";
        setText(byId("readout-caches-saved"), `not refreshed: ${failure.message}`);
      }
    } finally {
      under = null;
      finishedAt = performance.now();
    }
  }

  pyrometer.pages.add("caches", {
    enter: load,
    draw: (state) => {
      if (state.phase !== "paused" && performance.now() - finishedAt >= REFRESH_MS && !document.hidden) load();
    },
    leave: () => under && under.abort(),
  });
})();
