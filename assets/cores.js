/* The cores of the host over time: a row each, bright where it is busy. */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const { known } = pyrometer.format;
  const CORE = /^core_(\d+)_percent$/;

  /* [{label, number, column}] of what the answer has; the host's cores are known only there. */
  function coresOf(source) {
    return source.columns.map((name, column) => ({ core: CORE.exec(name), column }))
      .filter(({ core }) => core)
      .map(({ core, column }) => ({ label: `core ${core[1]}`, number: core[1], column }));
  }

  function series(source, rows) {
    const cores = coresOf(source);
    return {
      x: [rows.map((row) => pyrometer.charts.axisTime(row[0]))],
      y: [cores.map(({ number }) => number)], // the margin has room for three digits, not for words
      z: [cores.map(({ column }) => rows.map((row) => (known(row[column]) ? row[column] : null)))],
    };
  }

  /* [label, %] of the busiest core and of all. */
  function inWords(source, row) {
    const cores = coresOf(source).map(({ label, column }) => [label, row ? row[column] : null]);
    const busy = cores.filter(([, value]) => known(value)).sort((a, b) => b[1] - a[1]);
    if (!busy.length) return [["busiest", null]];
    const mean = busy.reduce((total, [, value]) => total + value, 0) / busy.length;
    return [[`busiest, ${busy[0][0]}`, busy[0][1]], ["all", mean]];
  }

  pyrometer.cores = { series, inWords };
})();
