/* The one stretch of time that every chart shows, how often figures come, and whether the
   period before is drawn beside it. All of it is in the address:

   range=1h | FROM-TO (UTC seconds)   the last so long, or a stretch that stays; 10m without
   live=5 | 30 | 0                    seconds between answers, 0 is paused; 1 without
   compare=1 */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { byId, setText } = pyrometer.dom;
  const { clock, day } = pyrometer.format;

  const PRESETS = {
    "1m": [60, "1 minute"], "5m": [300, "5 minutes"], "10m": [600, "10 minutes"],
    "30m": [1800, "30 minutes"], "1h": [3600, "hour"], "6h": [21600, "6 hours"],
    "24h": [86400, "24 hours"], "7d": [604800, "7 days"], "30d": [2592000, "30 days"],
  };
  const DEFAULT = "10m";
  const RATES = [1, 5, 30, 0];
  const LEAST_S = 2;
  const POINTS = 600;
  const listeners = [];
  let lastPreset = DEFAULT;
  let lastRate = 1;
  let told = "";

  /* "1h" -> {seconds}, "1764080000-1764080600" -> {from, to}, anything else -> the default. */
  function parse(text) {
    if (Object.hasOwn(PRESETS, text || "")) return { key: text, seconds: PRESETS[text][0] };
    const fixed = /^(\d{1,11})-(\d{1,11})$/.exec(text || "");
    const [from, to] = fixed ? [Number(fixed[1]), Number(fixed[2])] : [0, 0];
    if (to - from >= 1) return { key: text, from, to, seconds: to - from };
    return { key: DEFAULT, seconds: PRESETS[DEFAULT][0] };
  }

  /* Seconds of the server's clock. A long stretch ends at a whole step, so that its axis
     stands still between steps. */
  function range() {
    const asked = parse(pyrometer.url.get("range"));
    if (asked.to) return { ...asked, rolling: false };
    const step = asked.seconds > POINTS ? asked.seconds / POINTS : 0;
    const now = pyrometer.latest();
    const to = step ? Math.ceil(now / step) * step : now;
    return { ...asked, from: to - asked.seconds, to, rolling: true };
  }

  function live() {
    const text = pyrometer.url.get("live");
    const rate = text === null ? 1 : Number(text);
    return RATES.includes(rate) ? rate : 1;
  }

  const compare = () => pyrometer.url.get("compare") === "1";

  /* For a GET: what ends now asks for a window, so that the server's clock alone counts. */
  function query() {
    const { from, to, seconds, rolling } = range();
    return rolling && live() ? `window=${seconds}s` : `from=${from}&to=${to}`;
  }

  /* "14:03:12 to 14:20:00", with the day where it is not today or the stretch is long. */
  function span(from, to) {
    const now = day(Date.now() / 1000);
    if (day(from) === day(to) && day(to) === now) return `${clock(from)} to ${clock(to)}`;
    const moment = (seconds) => `${day(seconds)} ${clock(seconds).slice(0, 5)}`;
    return day(from) === day(to) ? `${moment(from)} to ${clock(to).slice(0, 5)}` : `${moment(from)} to ${moment(to)}`;
  }

  /* A moment as short as it is clear in the range shown. */
  function moment(seconds) {
    const { from } = range();
    const today = day(seconds) === day(Date.now() / 1000) && day(from) === day(seconds);
    return today ? clock(seconds) : `${day(seconds)} ${clock(seconds).slice(0, 5)}`;
  }

  function words() {
    const { key, from, to, rolling } = range();
    return rolling ? `last ${PRESETS[key][1]}` : span(from, to);
  }

  function keyOf(value) {
    if (value === null || value === undefined) return null;
    if (typeof value === "string") return value === DEFAULT ? null : value;
    const from = Math.floor(value.from);
    return `${from}-${Math.max(Math.ceil(value.to), from + LEAST_S)}`;
  }

  function set(value) {
    pyrometer.url.set({ range: keyOf(value) }, { push: true });
  }

  function setLive(rate) {
    pyrometer.url.set({ live: rate === 1 ? null : rate });
  }

  const setCompare = (wanted) => pyrometer.url.set({ compare: wanted ? 1 : null });

  function noted() {
    const now = range();
    if (now.rolling) lastPreset = now.key;
    if (live()) lastRate = live();
    const label = words();
    setText(byId("window-label"), label.charAt(0).toUpperCase() + label.slice(1));
    byId("window-reset").hidden = now.rolling;
    byId("console").dataset.rolling = String(now.rolling);
    const state = [now.key, live(), compare()].join();
    if (state === told) return;
    told = state;
    for (const listener of listeners) pyrometer.guard("time", listener);
    pyrometer.redraw();
  }

  pyrometer.time = {
    PRESETS, RATES, DEFAULT, range, query, words, span, moment, set, live, setLive, compare, setCompare,
    backToLive: () => set(lastPreset),
    pauseOrResume: () => setLive(live() ? 0 : lastRate),
    on: (listener) => listeners.push(listener),
  };
  pyrometer.url.on(noted);
  (pyrometer.starters = pyrometer.starters || []).push(() => {
    byId("window-reset").addEventListener("click", pyrometer.time.backToLive);
  });
})();
