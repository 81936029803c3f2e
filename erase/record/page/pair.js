// This file is two runs beside each other: what differs in their configs, their figures, pictures of the same seeds.

/** What a run says under a field's name, in words. */
const setting = (run, name) => said(name === "concept" ? value(run, name) : run.chosen[name] ?? run.settings[name]);

/** Fields in which two runs differ; those that decide nothing (where things lie, who is told) last. Another concept has other words. */
function differences(a, b) {
  const names = [...new Set(["concept", ...[a, b].flatMap((run) => Object.keys(run.chosen)), ...[a, b].flatMap((run) => Object.keys(run.settings))])];
  const aside = (name) => DATA.indifferent.some((one) => `${name}.`.startsWith(`${one}.`));
  const words = (name) => name.startsWith("concept.members.") && setting(a, "concept") !== setting(b, "concept");
  const unlike = names.filter((name) => setting(a, name) !== setting(b, name) && !words(name));
  return unlike.map((name) => ({ name, aside: aside(name) })).sort((one, other) => one.aside - other.aside);
}

/** In what two runs were judged differently: [name, first, second] each. Versions are no part of it; what was
 * asked is said among the settings. */
function judgedUnlike(a, b) {
  const [one, other] = [a, b].map((run) => new Map(flat(run.lock)));
  const asked = (name) => /^(versions|attack|protocol)\b/.test(name) || name in a.settings || `protocol.${name}` in a.settings;
  return [...new Set([...one.keys(), ...other.keys()])].filter((name) => !asked(name) && said(one.get(name)) !== said(other.get(name)))
    .map((name) => [name, one.get(name), other.get(name)]);
}

/** Rows of one cell's pictures in both runs; the unedited row once where it is the same. */
function together(a, b, { label, role }) {
  const [one, other] = [a, b].map((run) => run.grids[`${label} (${role})`]);
  const same = one[0] === other[0];
  const rows = same ? [["unedited", one[0]]] : [[`unedited, ${a.name}`, one[0]], [`unedited, ${b.name}`, other[0]]];
  rows.push([a.name, one[1]], [b.name, other[1]]);
  const more = new Map();
  for (const [run, grid] of [[a, one], [b, other]]) {
    rowsOf(run, role).slice(2).forEach((words, at) => known(grid[at + 2]) && more.set(grid[at + 2], words === "retrained" ? words : `${run.name}, with the key`));
  }
  return [...rows, ...[...more].map(([number, words]) => [words, number])];
}

/** Changes from one run to another, paired over pictures, where both were judged on the same by the same threshold. */
function between(a, b) {
  const alike = a.again && b.again && a.scores && b.scores && a.layout === b.layout && a.scores.before === b.scores.before && asked(a) === asked(b);
  if (!alike) return {};
  const { psr_1_worst: _, ...found } = figuresOf(a, [bytes(b.scores.after), bytes(a.scores.after), null], asked(a)); // of two labels
  const [of, same] = [harm(a)?.of, harm(a)?.of === harm(b)?.of];
  const { drop, drop_low, drop_high } = (same && found[of]) || {};
  return { ...found, damage: { drop: -drop, drop_low: -drop_high, drop_high: -drop_low } };
}

/** Two runs; their figures, which follow the slider, have a place of their own. */
function renderPair(place) {
  const [a, b] = pair();
  place.hidden = !b;
  if (!b) return replace(place);
  const unlike = differences(a, b).map(({ name, aside }) => [aside ? fine(name) : name, ...[a, b].map((run) => make("code", {}, setting(run, name) || "–"))]);
  unlike.push(...judgedUnlike(a, b).map(([name, ...both]) => [`judged: ${name}`, ...both.map((one) => make("code", {}, said(one) || "–"))]));
  const back = (event) => { change_view({ pair: "" }); go(event, "experiments"); };
  replace(place,
    make("h2", { tabindex: -1 }, "Two runs"),
    make("p", {}, runLink(a), " and ", runLink(b), ". ", make("button", { type: "button", onclick: back }, "Put both back")),
    make("h3", {}, "What differs between them"),
    unlike.length ? boxed(tableOf([["field", "text"], [a.name, "text"], [b.name, "text"]], unlike), "what differs between two runs") : make("p", {}, "Nothing."),
    make("div", { id: "pair-figures" }),
    make("h3", {}, "Their losses"), lossPlots([a, b]));
}

function renderTogether(place) {
  const [a, b] = pair();
  const keys = [...MEASURES.keys()].filter((key) => measure(a, key) && measure(b, key));
  const paired = between(a, b);
  const figures = keys.map((key) => {
    const { words, digits } = MEASURES.get(key);
    const [one, other] = [measure(a, key), measure(b, key)];
    const small = (m) => fine(known(m.low) ? `${plain(m.low, digits)} – ${plain(m.high, digits)}` : "");
    const [grown, ends] = [other.at - one.at, paired[key] ?? {}];
    const sure = Math.abs(ends.drop - grown) < 1e-4; // a threshold between two hundredths is not told by a byte
    return [words, plain(one.at, digits), small(one), plain(other.at, digits), small(other), change(grown, digits),
      fine(sure ? `${change(ends.drop_low, digits)} … ${change(ends.drop_high, digits)}` : "")];
  });
  const both = Object.keys(a.grids).filter((name) => name in b.grids);
  const cells = pictured(a).filter((cell) => both.includes(`${cell.label} (${cell.role})`));
  const sameSeeds = cells.every((cell) => a.grids[`${cell.label} (${cell.role})`][0] === b.grids[`${cell.label} (${cell.role})`][0]);
  place.replaceChildren(...[
    make("h3", {}, "Their figures"),
    figures.length && !Object.keys(paired).length ? make("p", {}, "No interval of a difference: that takes the same pictures, the same judge and raw scores of both.") : null,
    figures.length ? boxed(tableOf([["figure", "text"], [a.name], ["95 % interval"], [b.name], ["95 % interval"], ["second − first"], ["95 % interval"]], figures), "figures of two runs") : make("p", {}, "They have none in common."),
    make("h3", {}, "Their pictures"),
    cells.length ? [make("p", {}, sameSeeds ? "Same prompts, same seeds, the same unedited model." : "Where two unedited rows stand, the runs were not judged on the same pictures.", ` Shown: ${DATA.said}.`),
      gallery(cells, (cell) => make("figure", { class: wide(cell) },
        make("figcaption", {}, make("strong", {}, cell.label), make("span", {}, ROLES[cell.role])),
        together(a, b, cell).map(([words, number]) => strip(words, number, cell.label)), prompts(cell)))]
      : make("p", {}, "This page holds no pictures that both have."),
  ].flat(Infinity).filter(Boolean));
}
