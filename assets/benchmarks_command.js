/* The command that runs a stored run again: `pyrometer bench run` or `ramp` with its flags, as a
   POSIX shell reads them. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const benchmarks = (pyrometer.benchmarks = pyrometer.benchmarks || {});
  const { at } = benchmarks.words;
  const FLAGS = [
    ["--url", "url"], ["--model", "model"], ["--version", "version"], ["--name", "name"], ["--connections", "connections"],
    ["--warmup", "warmup_s"], ["--timeout", "timeout_s"], ["--payload", "payload.source"], ["--path", "payload.path"], ["--rows", "payload.rows"],
    ["--cache", "payload.cache"], ["--slo-p99-ms", "slo.p99_ms"], ["--slo-error-percent", "slo.error_percent"], ["--slo-least-per-s", "slo.least_per_s"],
    ["--seed", "seed"],
  ];
  const OPEN = [["--arrivals", "arrivals"]];
  const RUN = [["--rate", "rate_per_s"], ["--seconds", "seconds"], ["--speed", "payload.speed"], ["--generator", "generator"]];
  const RAMP = [["--from", "ramp.from_per_s"], ["--to", "ramp.to_per_s"], ["--steps", "ramp.steps"], ["--step-seconds", "ramp.step_s"]];

  function word(flag, value) {
    if (value === true) return flag;
    const text = String(value);
    return `${flag}${text.startsWith("-") ? "=" : " "}${pyrometer.command.quoted(text)}`;
  }

  benchmarks.command = (run) => {
    const spec = run.spec || {};
    const kind = spec.ramp ? "ramp" : "run";
    const flags = [...FLAGS, ...(spec.loop === "open" ? OPEN : []), ...(spec.ramp ? RAMP : RUN)];
    const words = flags.map(([flag, key]) => [flag, at(spec, key)])
      .filter(([flag, value]) => ![null, undefined, "", false].includes(value) && !(flag === "--generator" && value === "lab"))
      .map(([flag, value]) => word(flag, value));
    return [`pyrometer bench ${kind}`, ...words].join(" ");
  };
})();
