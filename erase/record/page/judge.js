// This file is figures made again from raw scores, at any threshold of the judge, as Python makes them.

const BYTES = DATA.scores.map(() => null);

/** The bytes of one model's pictures; see scores.py for what they hold. */
function bytes(number) {
  BYTES[number] ??= Uint8Array.from(atob(DATA.scores[number]), (c) => c.charCodeAt(0));
  return BYTES[number];
}

/** Whether a picture shows its label: it is top-1 (`judge` null), or its probability reaches `judge` hundredths. */
const shows = (byte, judge) => (judge === null ? byte >> 7 : +((byte & 127) >= judge));

/** The ends of Wilson's 95 % interval of a share; see interval.py for this and the next. */
function wilson(p, n) {
  const z = 1.959964;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, Math.min(p, centre - half)), Math.min(1, Math.max(p, centre + half))];
}

/** The ends of one share − another of the same n pictures, of which a share `both` counts in both: Newcombe's method 10. */
function paired(one, other, both, n) {
  const spread = Math.sqrt(one * (1 - one) * other * (1 - other));
  const r = spread > 0 ? Math.min(1, Math.max(-1, (both - one * other) / spread)) : 0;
  const [[l1, u1], [l2, u2]] = [wilson(one, n), wilson(other, n)];
  const reach = (a, b) => Math.sqrt(Math.max(0, a * a + b * b - 2 * r * a * b));
  const drop = one - other;
  return [Math.max(-1, drop - reach(one - l1, u2 - other)), Math.min(1, drop + reach(u1 - one, other - l2))];
}

/** The figure of some cells, each {at, n}: of pictures that show the label, or, `erased`, that do not. */
function pooled(cells, [before, after, truth], judge, erased = false) {
  let [n, old, now, both, anew] = [0, 0, 0, 0, 0];
  for (const cell of cells) {
    for (let i = cell.at; i < cell.at + cell.n; i += 1) {
      const one = shows(before[i], judge) ^ erased;
      const other = shows(after[i], judge) ^ erased;
      old += one;
      now += other;
      both += one & other;
      if (truth) anew += shows(truth[i], judge) ^ erased;
    }
    n += cell.n;
  }
  if (!n) return null;
  const [after_low, after_high] = wilson(now / n, n);
  const [drop_low, drop_high] = paired(old / n, now / n, both / n, n);
  const found = { before: old / n, after: now / n, after_low, after_high, drop: (old - now) / n, drop_low, drop_high, n };
  if (truth) [found.retrained, found.retrained_low, found.retrained_high] = [anew / n, ...wilson(anew / n, n)];
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
const asked = (run) => (run.again ? VIEW.judge : null) ?? (run.lock.thresholds?.length === 1 ? Math.round(100 * run.lock.thresholds[0]) : null);

/** All figures that `made`, of three models' bytes, tell of a run at a threshold, by name. `key`: bytes of who holds the key. */
function figuresOf(run, made, judge, key = null) {
  const cells = placed(run);
  const of = (...roles) => cells.filter((cell) => roles.includes(cell.role) && cell.head !== ""); // the judge has no name for the others
  const kept = of("sibling", "kept");
  const fewest = Math.min(...cells.filter(({ role }) => role === "sibling" || role === "kept").map(({ n }) => n));
  const found = {
    esr_1: pooled(of("concept"), made, judge, true),
    esr_1_key: key && pooled(of("concept"), [made[0], key, made[2]], judge, true),
    esr_1_synonyms: pooled(of("synonyms"), made, judge, true),
    psr_1: pooled(kept.map((cell) => ({ ...cell, n: fewest })), made, judge),
    psr_1_siblings: pooled(of("sibling"), made, judge),
  };
  for (const name of new Set(of("concept").map(({ label }) => label))) {
    found[`esr_1/${name}`] = pooled(of("concept").filter(({ label }) => label === name), made, judge, true);
  }
  const each = Object.fromEntries(kept.map((cell) => [`psr_1/${cell.label}`, pooled([cell], made, judge)]));
  found.psr_1_worst = Object.values(each).reduce((most, one) => (most === null || one.drop > most.drop ? one : most), null);
  const all = { ...found, ...each };
  return Object.fromEntries(Object.keys(run.figures).filter((name) => all[name]).map((name) => [name, all[name]]));
}

/** All figures that depend on the threshold and that a byte a picture tells, of those that were written down. */
const judged = (run, judge, step = null) =>
  figuresOf(run, models(run, step), judge, step === null && run.scores.keyed !== null ? withKey(run) : null);

/** Whether a figure of a run follows the slider. */
const follows = (run, name) => run.again && /^[ep]sr_1(?!_combinations)/.test(name) && name !== "psr_1_key";

let MADE = { judge: null };

/** A figure of a run: as it was written down, or, where the threshold was moved and it depends on it, made again. */
function figure(run, name, step = null) {
  const written = step === null ? run.figures : run.checkpoints[step];
  if (VIEW.judge === null || !run.scores || !follows(run, name)) return written[name];
  if (step !== null && !(step in run.scores.during)) return undefined;
  if (MADE.judge !== VIEW.judge) MADE = { judge: VIEW.judge, figures: new Map() };
  const key = `${run.index} ${step}`;
  if (!MADE.figures.has(key)) MADE.figures.set(key, judged(run, VIEW.judge, step));
  return MADE.figures.get(key)[name];
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
    ? `Erased and kept shares are made again from raw scores, their intervals too. Top-5, combinations, what is kept with the key, CLIP, KID, distances and attacks stay as they were written down${RUNS.every((run) => run.again || !run.scores) ? "" : "; so do runs of other protocols than quick and full"}.`
    : "So the figures were written down. The slider asks how far they depend on it: to the left a trace of the label counts, to the right only a sure sight.";
}
