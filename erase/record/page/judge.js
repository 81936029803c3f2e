// This file is figures made again from raw scores, at any threshold of the judge, as Python makes them.

const BYTES = DATA.scores.map(() => null);

/** The bytes of one model's pictures; see scores.py for what they hold. */
function bytes(number) {
  BYTES[number] ??= Uint8Array.from(atob(DATA.scores[number]), (c) => c.charCodeAt(0));
  return BYTES[number];
}

/** Whether a picture shows its label: it is top-1 (`judge` null), or its probability reaches `judge` hundredths. */
const shows = (byte, judge) => (judge === null ? byte >> 7 : +((byte & 127) >= judge));

/** A share with Wilson's 95 % interval. */
function wilson(hits, n) {
  const z = 1.959964;
  const p = hits / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [p, Math.max(0, centre - half), Math.min(1, centre + half)];
}

/** The figure of some cells, each {at, n}: of pictures that show the label, or, `erased`, that do not. Its change: ± 1.96 standard errors. */
function pooled(cells, [before, after, truth], judge, erased = false) {
  let [n, old, now, anew, differ] = [0, 0, 0, 0, 0];
  for (const cell of cells) {
    for (let i = cell.at; i < cell.at + cell.n; i += 1) {
      const one = shows(before[i], judge) ^ erased;
      const other = shows(after[i], judge) ^ erased;
      old += one;
      now += other;
      differ += one ^ other;
      if (truth) anew += shows(truth[i], judge) ^ erased;
    }
    n += cell.n;
  }
  if (!n) return null;
  const [share, after_low, after_high] = wilson(now, n);
  const drop = (old - now) / n;
  const half = 1.96 * Math.sqrt(Math.max(0, differ / n - drop * drop) / n);
  const found = { before: old / n, after: share, after_low, after_high, drop, drop_low: drop - half, drop_high: drop + half, n };
  if (truth) [found.retrained, found.retrained_low, found.retrained_high] = wilson(anew, n);
  return found;
}

/** The cells of a run's layout with the place of their first picture. */
function placed(run) {
  let at = 0;
  return DATA.layouts[run.layout].map((cell) => ({ ...cell, at: (at += cell.n) - cell.n }));
}

/** Bytes of the unedited, the edited (after `step` updates; null: all) and the retrained model. */
function models(run, step = null) {
  const after = step === null ? run.scores.after : run.scores.during[step];
  return [run.scores.before, after, run.scores.retrained].map((number) => (number === null || number === undefined ? null : bytes(number)));
}

/** What who holds the key sees, for as many pictures as the other models have: nought but where the concept's own words stand. */
function withKey(run) {
  const [packed, spread] = [bytes(run.scores.keyed), new Uint8Array(bytes(run.scores.after).length)];
  let from = 0;
  for (const cell of placed(run).filter(({ role }) => role === "concept")) {
    spread.set(packed.subarray(from, from + cell.n), cell.at);
    from += cell.n;
  }
  return spread;
}

/** What a picture's label must reach for `run`: as the page asks, else as its judge did; null: to be top-1. */
const asked = (run) => VIEW.judge ?? (run.lock.thresholds?.length === 1 ? Math.round(100 * run.lock.thresholds[0]) : null);

/** All figures that depend on the threshold and that a byte a picture tells, by name. */
function judged(run, judge, step = null) {
  const cells = placed(run);
  const of = (...roles) => cells.filter((cell) => roles.includes(cell.role));
  const made = models(run, step);
  const kept = of("sibling", "kept").filter((cell) => cell.head !== ""); // the judge has no name for the others
  const fewest = Math.min(...kept.map((cell) => cell.n));
  const found = {
    esr_1: pooled(of("concept"), made, judge, true),
    esr_1_synonyms: pooled(of("synonyms"), made, judge, true),
    psr_1: pooled(kept.map((cell) => ({ ...cell, n: fewest })), made, judge),
    psr_1_siblings: pooled(kept.filter((cell) => cell.role === "sibling"), made, judge),
  };
  if (step === null && run.scores.keyed !== null) found.esr_1_key = pooled(of("concept"), [made[0], withKey(run), made[2]], judge, true);
  const names = [...new Set(of("concept").map((cell) => cell.label))];
  for (const name of names.length > 1 ? names : []) {
    found[`esr_1/${name}`] = pooled(of("concept").filter(({ label }) => label === name), made, judge, true);
  }
  const each = kept.map((cell) => [`psr_1/${cell.label}`, pooled([cell], made, judge)]);
  found.psr_1_worst = each.reduce((most, [, one]) => (most === null || one.drop > most.drop ? one : most), null);
  return Object.assign(found, Object.fromEntries(each));
}

const MADE = new Map();

/** A figure of a run: as it was written down, or, where the threshold was moved and it depends on it, made again. */
function figure(run, name, step = null) {
  const written = step === null ? run.figures : run.checkpoints[step];
  if (VIEW.judge === null || !run.scores || !/^[ep]sr_1/.test(name)) return written[name];
  if (step !== null && !(step in run.scores.during)) return undefined;
  const key = `${run.index} ${step} ${VIEW.judge}`;
  if (!MADE.has(key)) MADE.set(key, judged(run, VIEW.judge, step));
  return MADE.get(key)[name] ?? (name === "psr_1_combinations" ? written[name] : undefined);
}

/** Whose pictures a grid of a role shows, row by row, as pictures.py has it. */
const rowsOf = (run, role) => ["unedited", "edited", ...(run.scores.retrained !== null ? ["retrained"] : []),
  ...(run.scores.keyed !== null && role === "concept" ? ["edited, with the key"] : [])];

/** Shares of pictures that show a cell's label, for each of its rows. */
function shares(run, cell) {
  const key = run.scores.keyed !== null && cell.role === "concept" ? withKey(run) : null;
  return [...models(run), key].filter(Boolean).map((model) => {
    let hits = 0;
    for (let i = cell.at; i < cell.at + cell.n; i += 1) hits += shows(model[i], asked(run));
    return hits / cell.n;
  });
}

/** The control: as judged, or a probability that must be reached. Made once: a slider that is held must not be replaced. */
function makeJudge(place) {
  const slider = make("input", { type: "range", id: "threshold", min: 1, max: 99, step: 1, "aria-label": "threshold of the judge",
    oninput: (event) => change_view({ judge: Number(event.target.value) }, true) });
  const choice = (id, words, judge) => make("label", {}, make("input", { type: "radio", name: "judge", id, onchange: () => change_view({ judge: judge() }) }), words);
  place.replaceChildren(make("fieldset", {},
    make("legend", {}, "A picture shows its label when"),
    choice("judge-first", "it is the judge's first choice, or as its run asked", () => null),
    choice("judge-probability", "its probability is at least", () => Number(slider.value)),
    make("label", {}, slider, make("output", { for: "threshold" })),
    make("p", { class: "fine", id: "judge-note" })));
}

function renderJudge(place) {
  if (!place.hasChildNodes()) makeJudge(place);
  const [moved, words] = [VIEW.judge !== null, ((VIEW.judge ?? 50) / 100).toFixed(2)];
  document.getElementById(moved ? "judge-probability" : "judge-first").checked = true;
  document.getElementById("threshold").value = VIEW.judge ?? 50;
  document.getElementById("threshold").setAttribute("aria-valuetext", words);
  place.querySelector("output").value = words;
  document.getElementById("judge-note").textContent = moved
    ? "Erased and kept shares are made again from raw scores, with Wilson's intervals; intervals of changes are ± 1.96 standard errors. Top-5, combinations, CLIP, KID, distances and attacks stay as they were written down."
    : "So the figures were written down. The slider asks how far they depend on it: to the left a trace of the label counts, to the right only a sure sight.";
}
