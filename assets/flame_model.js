/* A flame graph as columns, and what is computed on them: layout, search, paths, words.

     node      0      1     2      node 0 is the root, whose width is 1
     parent   -1      0     1      a parent comes before its children
     x, width  shares of the root  of siblings the widest stands first
     total, self                   in `unit`; a share is of `whole`, what was sampled
     againstTotal, againstSelf     null without a comparison, and shares of `againstWhole`
     samples                       of the node and those below; null with a comparison */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const flame = (pyrometer.flame = pyrometer.flame || {});
  const { number, count, known } = pyrometer.format;
  const ROOT = { label: "all", name: "all", module: "" };
  const PATH_MARK = ";";
  const PATH_MAX = 240; // of a path in the address; longer ones hold hashes
  const LABEL_MAX = 400; // of a label that a search looks at

  const sum = (values) => values.reduce((total, value) => total + (known(value) ? value : 0), 0);
  const numbers = (values, size) => Array.from({ length: size }, (_, at) => (known(values && values[at]) ? values[at] : 0));

  /* With something to compare with: a window without samples is none. */
  const isCompared = (answer) => Boolean(answer.against) && answer.against.sampled[answer.measure] > 0;

  /* A block of nodes of view=code (the tree, or the callers or callees of one function). */
  function ofCode(answer, block) {
    const nodes = block || answer.nodes;
    const { frames } = answer;
    const compared = isCompared(answer) && Boolean(nodes.against_total);
    return finished({
      rooted: !block,
      unit: answer.unit,
      whole: answer.sampled[answer.measure],
      againstWhole: compared ? answer.against.sampled[answer.measure] : null,
      described: nodes.frame.map((frame) => frames[frame] || ROOT),
      parent: nodes.parent,
      total: nodes.total,
      self: nodes.self,
      samples: nodes.samples,
      againstTotal: compared ? nodes.against_total : null,
      againstSelf: compared ? nodes.against_self : null,
    });
  }

  /* view=phases: ids, labels, parents (ids), values in ms, counts of requests. */
  function ofPhases(answer) {
    const place = new Map(answer.ids.map((id, at) => [id, at]));
    const parent = answer.parents.map((id) => (place.has(id) ? place.get(id) : -1));
    const own = numbers(answer.values, answer.ids.length);
    parent.forEach((above, at) => {
      if (above >= 0) own[above] -= known(answer.values[at]) ? answer.values[at] : 0;
    });
    const order = depthFirst(parent);
    const moved = new Map(order.map((was, at) => [was, at]));
    const inOrder = (values) => order.map((was) => values[was]);
    const labels = inOrder(answer.labels);
    const above = order.map((was) => (parent[was] < 0 ? -1 : moved.get(parent[was])));
    return finished({
      unit: "ms",
      whole: sum(answer.values.filter((_, at) => parent[at] < 0)),
      againstWhole: null,
      described: labels.map((label) => ({ label, name: label, module: "" })),
      parent: above,
      total: inOrder(answer.values),
      self: inOrder(own.map((value) => Math.max(0, value))),
      samples: inOrder(answer.counts),
      againstTotal: null,
      againstSelf: null,
    });
  }

  /* Places of all nodes, a parent before its children. */
  function depthFirst(parent) {
    const under = new Map();
    parent.forEach((above, at) => {
      if (!under.has(above)) under.set(above, []);
      under.get(above).push(at);
    });
    const order = [];
    const waiting = [...(under.get(-1) || [])];
    while (waiting.length) {
      const at = waiting.pop();
      order.push(at);
      waiting.push(...(under.get(at) || []));
    }
    return order;
  }

  /* One root above all others, then depths and children; layout() places them. */
  function finished(given) {
    const roots = Object.keys(given.parent).map(Number).filter((at) => given.parent[at] < 0);
    const model = roots.length === 1 && !given.rooted ? { ...given } : underOneRoot(given, roots);
    const size = (model.size = model.parent.length);
    for (const name of ["total", "self"]) model[name] = numbers(model[name], size);
    if (model.againstTotal) {
      model.againstTotal = numbers(model.againstTotal, size);
      model.againstSelf = numbers(model.againstSelf, size);
    }
    model.label = model.described.map((frame) => String(frame.label));
    model.depth = new Int32Array(size);
    model.children = Array.from({ length: size }, () => []);
    for (let at = 0; at < size; at += 1) {
      const above = model.parent[at];
      if (above < 0) continue;
      model.depth[at] = model.depth[above] + 1;
      model.children[above].push(at);
    }
    return layout(model, "now");
  }

  function underOneRoot(given, roots) {
    const rooted = (values) => sum(roots.map((at) => values[at]));
    const whole = Math.max(known(given.whole) ? given.whole : 0, rooted(given.total));
    return {
      ...given,
      described: [ROOT, ...given.described],
      parent: [-1, ...given.parent.map((above) => above + 1)],
      total: [whole, ...given.total],
      self: [0, ...given.self],
      samples: given.samples && [rooted(given.samples), ...given.samples],
      againstTotal: given.againstTotal && [given.againstWhole, ...given.againstTotal],
      againstSelf: given.againstSelf && [0, ...given.againstSelf],
    };
  }

  const part = (value, whole) => (whole > 0 ? value / whole : 0);
  const share = (model, node) => part(model.total[node], model.whole);
  const selfShare = (model, node) => part(model.self[node], model.whole);
  const againstShare = (model, node) => part(model.againstTotal[node], model.againstWhole);
  const grown = (model, node) => share(model, node) - againstShare(model, node);

  /* widths: "now", "before" (the comparison's), "both" (the mean of both shares). */
  function layout(model, widths) {
    const weigh = {
      now: (node) => share(model, node),
      before: (node) => againstShare(model, node),
      both: (node) => (share(model, node) + againstShare(model, node)) / 2,
    }[model.againstTotal ? widths : "now"];
    const weight = Float64Array.from({ length: model.size }, (_, node) => weigh(node));
    model.x = new Float64Array(model.size);
    model.width = new Float64Array(model.size);
    model.rows = [];
    if (model.size) model.width[0] = 1;
    const waiting = model.size ? [0] : [];
    while (waiting.length) {
      const node = waiting.pop();
      (model.rows[model.depth[node]] = model.rows[model.depth[node]] || []).push(node);
      placeChildren(model, node, weight);
      for (let at = model.children[node].length - 1; at >= 0; at -= 1) waiting.push(model.children[node][at]);
    }
    return model;
  }

  function placeChildren(model, node, weight) {
    const children = model.children[node].sort((one, other) => weight[other] - weight[one]);
    const taken = children.reduce((total, child) => total + weight[child], 0);
    const scale = part(model.width[node], Math.max(weight[node], taken));
    let x = model.x[node];
    for (const child of children) {
      model.x[child] = x;
      model.width[child] = weight[child] * scale;
      x += model.width[child];
    }
  }

  /* {test, problem}: a label matches as a regular expression or as it stands, in any case. */
  function matcher(text) {
    const plain = text.toLowerCase();
    let expression = null;
    let problem = "";
    try {
      expression = new RegExp(text, "i");
    } catch (fault) {
      const reason = String(fault.message).split(": ").pop().toLowerCase();
      problem = `Not a regular expression (${reason}): searched as it stands`;
    }
    const test = (label) => {
      const seen = label.slice(0, LABEL_MAX);
      return seen.toLowerCase().includes(plain) || Boolean(expression && expression.test(seen));
    };
    return { test, problem };
  }

  /* The nodes that match, and their share with each path counted once. */
  function search(model, text) {
    if (!text) return { found: null, share: 0, problem: "" };
    const { test, problem } = matcher(text);
    const answers = new Map();
    const matches = (label) => {
      if (!answers.has(label)) answers.set(label, test(label));
      return answers.get(label);
    };
    const found = new Set();
    const covered = new Uint8Array(model.size);
    let total = 0;
    for (let node = 0; node < model.size; node += 1) {
      const above = model.parent[node];
      covered[node] = above >= 0 ? covered[above] : 0;
      if (model.described[node] === ROOT || !matches(model.label[node])) continue;
      found.add(node);
      if (!covered[node]) total += model.total[node];
      covered[node] = 1;
    }
    return { found, share: part(total, model.whole), problem };
  }

  /* How many of some nodes are the node or under it. */
  function within(model, nodes, node) {
    const covered = new Set([node]);
    let found = 0;
    for (let at = node; at < model.size; at += 1) {
      if (covered.has(model.parent[at])) covered.add(at);
      if (covered.has(at) && nodes.has(at)) found += 1;
    }
    return found;
  }

  /* From below the root to the node. */
  function lineage(model, node) {
    const path = [];
    for (let at = node; at > 0; at = model.parent[at]) path.unshift(at);
    return path;
  }

  const hashed = (label) => `~${(flame.colours.hash(label) & 0xffffff).toString(16).padStart(6, "0")}`;

  /* A path that survives new samples: labels, or their hashes where it would be long. */
  function pathOf(model, node) {
    const labels = lineage(model, node).map((at) => model.label[at]);
    const plain = (label) => !label.includes(PATH_MARK) && !/^[~^]/.test(label) && label !== "";
    const words = labels.map((label) => (plain(label) ? label : hashed(label))).join(PATH_MARK);
    return words.length <= PATH_MAX ? words : labels.map(hashed).join(PATH_MARK);
  }

  /* {node, whole}: the deepest node of the path that is still there, and whether all of it is. */
  function nodeAt(model, path) {
    let node = 0;
    const steps = path ? path.split(PATH_MARK) : [];
    for (const step of steps) {
      const next = model.children[node].find((child) => model.label[child] === step || hashed(model.label[child]) === step);
      if (next === undefined) return { node, whole: false };
      node = next;
    }
    return { node, whole: true };
  }

  /* The functions with the largest share of their own, for those who cannot see the chart. */
  function largest(model, most) {
    const own = new Map();
    for (let node = 0; node < model.size; node += 1) {
      own.set(model.label[node], (own.get(model.label[node]) || 0) + model.self[node]);
    }
    return [...own].filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]).slice(0, most)
      .map(([label, value]) => ({ label, share: part(value, model.whole) }));
  }

  const UNITS = [[60e9, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "µs"], [0, "ns"]];

  function amount(value, unit) {
    if (!known(value)) return "–";
    if (unit === "samples") return `${count(value)} ${value === 1 ? "sample" : "samples"}`;
    const ns = unit === "ms" ? value * 1e6 : value;
    if (Math.abs(ns) < 0.5) return "0 s"; // a rest of a difference, too
    const [size, word] = UNITS.find(([least]) => Math.abs(ns) >= least);
    return `${number(ns / (size || 1))} ${word}`;
  }

  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const points = (value) => {
    const rounded = (100 * value).toFixed(1);
    return `${value > 0 && rounded !== "0.0" ? "+" : ""}${rounded === "-0.0" ? "0.0" : rounded} points`;
  };

  flame.model = {
    isCompared, ofCode, ofPhases, layout, share, selfShare, againstShare, grown, matcher, search, within, lineage, pathOf, nodeAt, largest,
  };
  flame.words = { amount, percent, points };
})();
