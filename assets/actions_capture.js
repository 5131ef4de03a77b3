/* Capture a profile: begin it, follow it until it is whole, offer its flame graph. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { count } = pyrometer.format;
  const PATH = "/performance/profile";
  const LIMIT_MS = 20000;
  const LOOK_MS = 500;
  const MOST_FAULTS = 5; // answers in a row that may fail before the capture is given up

  async function look(id) {
    const response = await fetch(PATH, { signal: AbortSignal.timeout(LIMIT_MS), cache: "no-store" });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return (await response.json()).captures.find((one) => one.id === id);
  }

  async function follow(id) {
    let faults = 0;
    for (;;) {
      await new Promise((next) => setTimeout(next, LOOK_MS));
      let capture;
      try {
        capture = await look(id);
        faults = 0;
      } catch (failure) {
        faults += 1;
        if (faults >= MOST_FAULTS) throw failure;
        continue;
      }
      if (!capture) throw new Error("the server no longer has it");
      if (capture.progress >= 1) return capture;
    }
  }

  function capture(seconds = 10, hz = 499) {
    const words = `${seconds} s at ${hz} Hz`;
    const what = { key: "capture", doing: `Capturing a profile, ${words}`, done: `Captured ${words}`, failed: "Capture failed", seconds };
    return pyrometer.actions.run(what, async () => {
      const begun = await pyrometer.post(PATH, { seconds, hz }, LIMIT_MS);
      const whole = await follow(begun.id);
      const next = { words: "Open its flame graph", press: () => pyrometer.router.go("/flame-graph", { capture: begun.id }) };
      return { id: begun.id, text: `${count(whole.samples)} samples`, follow: next };
    });
  }

  pyrometer.actions.capture = capture;
})();
