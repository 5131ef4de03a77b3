/* How well a command answers to what is typed.

   Every word typed must be found in the label or, for less, in the further words: at the
   beginning of a word, within one, or as letters in order, each next to the one before, in its
   word or at the beginning of another ("wuf" and "wrmfrd" find "Warm Up Fraud"). */
(function () {
  "use strict";
  const pyrometer = (window.pyrometer = window.pyrometer || {});
  const LOOKED_AT = 300; // characters of a label
  const POINTS = { whole: 120, start: 80, within: 40, letters: 20, further: 25 };
  const REACH = 24; // letters in order may not lie further apart than this

  const isStart = (text, at) => at === 0 || !/[a-z0-9]/.test(text[at - 1]);
  const span = (from, length) => Array.from({ length }, (_, step) => from + step);

  /* Where a letter goes on after the place of the one before: next to it, else at the beginning
     of a word, else within the same word; -1 where nowhere. */
  function next(text, letter, before) {
    if (text[before + 1] === letter) return before + 1;
    let within = true;
    let later = -1;
    for (let at = before + 1; at < text.length && at - before <= REACH; at += 1) {
      if (!/[a-z0-9]/.test(text[at])) within = false;
      if (text[at] !== letter) continue;
      if (isStart(text, at)) return at;
      if (within && later < 0) later = at;
    }
    return later;
  }

  /* Places of the letters in order, the first at the beginning of a word; null where they are not. */
  function letters(text, word) {
    for (let first = text.indexOf(word[0]); first >= 0; first = text.indexOf(word[0], first + 1)) {
      if (!isStart(text, first)) continue;
      const places = [first];
      for (const letter of word.slice(1)) places.push(next(text, letter, places[places.length - 1]));
      if (!places.includes(-1)) return places;
    }
    return null;
  }

  /* {points, places} of one word in a label, or null. */
  function inLabel(text, word) {
    let within = -1;
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (isStart(text, at)) {
        const whole = at + word.length === text.length || !/[a-z0-9]/.test(text[at + word.length]);
        return { points: (whole ? POINTS.whole : POINTS.start) - Math.min(20, at), places: span(at, word.length) };
      }
      if (within < 0) within = at;
    }
    if (within >= 0) return { points: POINTS.within - Math.min(20, within), places: span(within, word.length) };
    const places = word.length > 1 ? letters(text, word) : null;
    return places && { points: POINTS.letters - Math.min(15, places[places.length - 1] - places[0] - word.length), places };
  }

  /* {points, places} of a command for the words typed, or null. */
  function match(command, words) {
    const label = command.label.slice(0, LOOKED_AT).toLowerCase();
    const further = (command.words || "").slice(0, LOOKED_AT).toLowerCase();
    let points = 0;
    const places = new Set();
    for (const word of words) {
      const found = inLabel(label, word);
      if (found) found.places.forEach((place) => places.add(place));
      else if (!further.includes(word)) return null;
      points += found ? found.points : POINTS.further;
    }
    return { points, places };
  }

  /* [{command, places}], best first; those of the same worth in the order given. */
  function search(commands, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return commands
      .map((command, at) => ({ command, at, found: match(command, words) }))
      .filter(({ found }) => found)
      .sort((one, other) => other.found.points - one.found.points || one.at - other.at)
      .map(({ command, found }) => ({ command, places: found.places }));
  }

  pyrometer.paletteSearch = search;
})();
