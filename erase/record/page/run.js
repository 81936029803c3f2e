// This file is one run: what went, what stayed, what was hurt, its pictures, how it came about.

const ROLES = { concept: "erased, own words", synonyms: "erased, held-out words", sibling: "kept, sibling", kept: "kept" };

/** A heading, one level deeper where the page has many runs. */
const heading = (words) => make(ALONE ? "h2" : "h3", {}, words);

/** A table from heads, [words, class] each, and rows of cells; the first cell of a row is its head. */
function tableOf(heads, rows, caption = "") {
  const cell = (content, at, tag = "td") => make(tag, { class: heads[at][1] ?? "", ...(tag === "th" ? { scope: "row" } : {}) }, content);
  return make("table", {}, caption && make("caption", {}, caption),
    make("thead", {}, make("tr", {}, heads.map(([words, kind = "tight"]) => (words === "" ? make("td", {}) : make("th", { scope: "col", class: kind }, words))))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((content, at) => cell(content, at, at ? "td" : "th"))))));
}

/** A share as a bar: the edited model, its interval, the unedited and the retrained model as marks. */
function bar(figure) {
  const percent = (share) => `${Math.min(100, Math.max(0, 100 * share))}%`;
  const truth = known(figure.retrained), base = known(figure.before);
  const words = `edited ${plain(figure.after)}${base ? `, unedited ${plain(figure.before)}` : ""}${truth ? `, retrained ${plain(figure.retrained)}` : ""}`;
  return make("span", { class: "bar", role: "img", "aria-label": words },
    make("span", { class: "edited", style: `width:${percent(figure.after)}` }),
    make("span", { class: "interval", style: `left:${percent(figure.after_low)};width:${percent(figure.after_high - figure.after_low)}` }),
    base && make("span", { class: "unedited", style: `left:${percent(figure.before)}` }),
    truth && make("span", { class: "retrained", style: `left:${percent(figure.retrained)}` }));
}

const fine = (text) => (text ? make("span", { class: "fine beside" }, text) : "");

/** A figure's cells: before, after, interval, retrained if the run has it, change, interval, pictures. */
function figureCells(figure, truth, digits = 3) {
  return [plain(figure.before, digits), make("strong", {}, plain(figure.after, digits)), fine(interval(figure, "after", digits)),
    ...(truth ? [[plain(figure.retrained, digits), " ", fine(interval(figure, "retrained", digits))]] : []),
    change(-figure.drop, digits), fine(known(figure.drop_low) ? `${change(-figure.drop_high, digits)} … ${change(-figure.drop_low, digits)}` : ""), String(figure.n)];
}

const figureHeads = (truth, before = "before", after = "after") =>
  [[before], [after], ["95 % interval"], ...(truth ? [["retrained"]] : []), ["change"], ["95 % interval"], ["pictures"]];

/** The name of what the retrained network was trained without. */
const leftOut = (run) => (run.lock.retrained ? (DATA.layouts[run.layout] ?? []).find((cell) => cell.role === "concept")?.label : undefined);

function mainFigures(run) {
  const truth = leftOut(run);
  const told = DATA.measures.filter(([key]) => run.figures[key] && !/^(attack\/|distance_)/.test(key)).map(([key, { words, digits }]) => ({ key, words, digits, found: figure(run, key) })).filter(({ found }) => found);
  const [shares, others] = [true, false].map((main) => told.filter(({ key }) => DATA.rows.includes(key) === main));
  const parts = Object.keys(run.figures).filter((key) => key.startsWith("label/")).map((key) => [key.slice(6), ...figureCells(run.figures[key], truth)]);
  const mark = (kind) => make("span", { class: "bar key", "aria-hidden": "true" }, make("span", { class: kind, style: "left:50%" }));
  const lost = worst(run)?.label;
  const counts = labels(run).map(({ figure: { n } }) => n);
  const first = new Set(counts).size > 1 ? Math.min(...counts) : 0; // of all kept every label counts alike
  const named = { psr_1_worst: lost && ` (${lost})`, psr_1: first && ` (the first ${first === 1 ? "picture" : `${first} pictures`} of each label)` };
  const own = (key, found) => (key.endsWith("_key") ? { ...found, retrained: undefined } : found); // no key of its own
  return [heading("What went, what stayed"),
    !shares.length ? make("p", {}, "What the judge saw. Intervals hold 95 %; the change is paired over the same prompts and seeds.") : make("p", {},
      "Erased: share of pictures that do not show the concept, as the judge sees it. Kept: share that show what was asked for. Intervals hold 95 % (Wilson); the change is paired over the same prompts and seeds. The bar is the edited model, the line in it its interval; ",
      mark("unedited"), " is the unedited model", truth ? [" and ", mark("retrained"), ` the retrained network: the same one trained in the same way from nothing, without a single picture of “${truth}”. An erasure that took the concept and nothing else would end there`] : "", "."),
    run.figures.esr_1 || !run.figures.psr_1 ? "" : make("p", {}, "The judge has no label for this concept: what was erased is not measured, only what was kept."),
    boxed(tableOf([["figure", "text"], ...(shares.length ? [["as a bar", "text"]] : []), ...figureHeads(truth)], [
      ...shares.map(({ key, words, found }) => [words + (named[key] || ""), bar(own(key, found)), ...figureCells(own(key, found), truth)]),
      ...others.map(({ words, digits, found }) => [words, ...(shares.length ? [""] : []), ...figureCells(found, truth, digits)]),
    ]), "main figures"),
    parts.length ? make("details", {}, make("summary", {}, "each label of the judge"), boxed(tableOf([["label", "text"], ...figureHeads(truth)], parts), "each label of the judge")) : ""];
}

function onTheWay(run) {
  const steps = Object.keys(run.checkpoints).map(Number).sort((a, b) => a - b);
  if (!steps.length) return [];
  const keys = DATA.measures.filter(([key, { first }]) => first && run.figures[key] && !key.startsWith("attack/")).map(([key]) => key);
  const rows = steps.map((step) => [String(step), ...keys.map((key) => plain(figure(run, key, step)?.after, MEASURES.get(key).digits))]);
  const last = [String(run.settings.steps), ...keys.map((key) => plain(figure(run, key)?.after, MEASURES.get(key).digits))];
  return [heading("On the way"), make("p", {}, "The same after fewer updates."),
    boxed(tableOf([["updates", "text"], ...keys.map((key) => [MEASURES.get(key).words])], [...rows, last]), "figures on the way")];
}

function distances(run) {
  const found = DATA.measures.filter(([key]) => key.startsWith("distance_") && run.figures[key]);
  if (!found.length) return [];
  return [heading("How far from the truth"),
    make("p", {}, "Distances of pictures to the retrained network's, on the judge's CLIP features, same prompts, same noise: the lower the better, and a negative change came nearer. Erased: own words and synonyms. Far: everything kept but the siblings; there the unedited model's distance is what training anew changes by itself. KID stands where there are pictures enough, and falls a little below 0 where pictures are nearly the same. Where an edited model stands farther away than the unedited one, what it draws in the concept's place is not what a network does that never saw it."),
    boxed(tableOf([["distance", "text"], ...figureHeads(false, "unedited", "edited")],
      found.map(([key, { words, digits }]) => [words, ...figureCells(run.figures[key], false, digits)])), "distances to the retrained network")];
}

function attacks(run) {
  const found = Object.entries(run.figures).filter(([name]) => /^attack\/.+\/asr$/.test(name));
  if (!found.length) return [];
  const begins = { named: "the concept's own words", none: "nothing" };
  const start = (name) => run.lock[name.replace(/\/asr$/, "")]?.start;
  const named = found.filter(([name]) => start(name) === "named").length;
  const rows = found.map(([name, f]) => {
    const room = known(f.before) && known(f.retrained) ? f.before - f.retrained : undefined;
    return [name.split("/")[1], begins[start(name)] ?? "words without it", bar(f), plain(f.retrained), make("strong", {}, plain(f.after)), fine(interval(f)), plain(f.before),
      room ? `${plain((100 * (f.after - f.retrained)) / room, 0)} %` : "", known(f.n) ? String(f.n) : ""];
  });
  return [heading("Attacks"),
    make("p", {}, named < found.length ? "Share of prompts from which an attack by itself brings the concept back. " : "",
      named ? `${named < found.length ? "Where an attack begins at the concept's own words: share" : "Share"} of prompts that show the concept as they are, without any attack, or once it has worked on them. ` : "",
      "The floor is the retrained network, which never knew it; the ceiling the unedited model. The way back is where the edited model stands between them."),
    boxed(tableOf([["attack", "text"], ["begins at", "text"], ["as a bar", "text"], ["floor"], ["edited"], ["95 % interval"], ["ceiling"], ["way back"], ["prompts"]], rows), "attacks"), ...cameBack(run)];
}

/** What each prompt of an attack ended with: the text, and the picture where the page holds it. */
function cameBack(run) {
  const found = Object.entries(run.ended).filter(([, ended]) => ended.length);
  if (!found.length) return [];
  return [make("p", {}, "The last picture of every prompt: what brought the concept back, or, where nothing did, what was tried last."),
    make("div", { class: "grids" }, found.map(([name, ended]) => make("figure", { class: "wide" },
      make("figcaption", {}, make("strong", {}, name.replace("attack/", "")), make("span", {}, `${ended.filter(({ alone }) => alone).length} of ${ended.length} prompts`)),
      (run.grids[name] ?? []).map((number, at) => strip(`${at * DATA.attackRow + 1} to ${Math.min((at + 1) * DATA.attackRow, ended.length)}`, number, name)),
      make("details", { "data-about": `texts of ${name}` }, make("summary", {}, "texts"), make("ol", { class: "fine" }, ended.map(({ text, alone }) => make("li", {}, alone ? make("strong", {}, text) : text)))))))];
}

function damage(run) {
  const truth = leftOut(run);
  const list = labels(run).sort((a, b) => b.figure.drop - a.figure.drop);
  if (!list.length) return [];
  const chose = run.choices.length > 0;
  const rows = list.map(({ label, role, figure: found }) => [label, ROLES[role] ?? role, bar(found), ...figureCells(found, truth),
    ...(chose ? [String(timesChosen(run, label) || "")] : [])]);
  return [heading("What was hurt"),
    make("p", {}, "Every kept label, most hurt first: share of its pictures that show it.", chose ? ` Held: how many of the ${run.choices.length} choices of the preservation name it.` : ""),
    boxed(tableOf([["label", "text"], ["role", "text"], ["as a bar", "text"], ...figureHeads(truth), ...(chose ? [["held"]] : [])], rows), "damage by label", rows.length > 12 ? "tall" : "")];
}

/** One picture row with its name; a picture that is missing, or cannot be shown, says so. */
function strip(words, number, about) {
  const missing = () => make("span", {}, "no picture");
  const image = known(number) ? make("img", { src: DATA.pictures[number], alt: `${about}: ${words}`, decoding: "async", onerror: (event) => event.target.replaceWith(missing()) }) : missing();
  return make("div", { class: "row" }, make("span", {}, words), image);
}

/** The cells of a run that pictures are shown of, the erased first, then the most hurt. */
function pictured(run) {
  const order = ["concept", "synonyms", "sibling", "kept"];
  const drop = (cell) => figure(run, `psr_1/${cell.label}`)?.drop ?? 0;
  return (run.scores ? placed(run) : []).filter((cell) => order.includes(cell.role) && `${cell.label} (${cell.role})` in run.grids)
    .sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role) || drop(b) - drop(a) || a.at - b.at);
}

/** A cell of many pictures a row has the room of two. */
const wide = (cell) => (Math.min(cell.n, DATA.row) > 4 ? "wide" : "");

const prompts = (cell) => make("details", { "data-about": `prompts of ${cell.label} (${cell.role})` }, make("summary", {}, "prompts"), make("span", { class: "fine" }, cell.prompts.join(" · ")));

/** The first figures in the open, the many of labels that were hardly hurt behind a summary. */
function gallery(cells, drawing) {
  const first = cells.filter((cell) => cell.role !== "kept").length + 4;
  const grids = (some) => make("div", { class: "grids" }, some.map(drawing));
  const rest = cells.slice(first);
  return [grids(cells.slice(0, first)), rest.length ? make("details", {}, make("summary", {}, `${rest.length} more that were kept`), grids(rest)) : ""];
}

function pictures(run) {
  const cells = pictured(run);
  const truth = leftOut(run);
  if (!cells.length) return run.scores ? [heading("Before and after"), make("p", {}, "This page holds no pictures of this run; its folder does.")] : [];
  return [heading("Before and after"),
    make("p", {}, "Same prompts, same seeds. ", truth ? `The retrained network never saw a picture of “${truth}”. ` : "", run.scores.keyed !== null ? "Where the concept is called by its own words, the last row has the key in place. " : "", "Shares of pictures that show their label, in the order of the rows. Shown: ", DATA.said, "."),
    gallery(cells, (cell) => {
      const grid = run.grids[`${cell.label} (${cell.role})`];
      return make("figure", { class: wide(cell) },
        make("figcaption", {}, make("strong", {}, cell.label), make("span", {}, ROLES[cell.role], cell.head === "" || cell.label === "" ? "" : ` · ${shares(run, cell).map((share) => plain(share, 2)).join(" → ")}`)),
        rowsOf(run, cell.role).map((words, at) => strip(words, grid[at], cell.label)), prompts(cell));
    })];
}

/** Concepts that were ever held, most often first, and their rank at every choice. */
function held(run) {
  if (!run.choices.length) return [];
  const names = [...new Set(run.choices.flatMap((choice) => choice.chosen))];
  const times = (name) => run.choices.filter((choice) => choice.chosen.includes(name)).length;
  names.sort((a, b) => times(b) - times(a) || a.localeCompare(b));
  const rank = (name, choice) => choice.chosen.indexOf(name) + 1;
  const highest = (name) => Math.max(...run.choices.filter((choice) => rank(name, choice)).map((choice) => choice.scores[rank(name, choice) - 1]));
  return [heading("What was held"),
    make("p", {}, "The concepts that the preservation chose, and so were held, from each step on: 1 is its first. The score is what it chose them by, at its highest; an adversary's says how much the edit hurts them."),
    boxed(make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "text" }, "concept"), make("th", { scope: "col", class: "tight" }, "score"), run.choices.map((choice) => make("th", { scope: "col", class: "rank" }, String(choice.step))))),
      make("tbody", {}, names.map((name) => make("tr", {}, make("th", { scope: "row", class: "text" }, name), make("td", {}, exact(highest(name))),
        run.choices.map((choice) => make("td", { class: `rank ${rank(name, choice) ? "on" : ""}` }, rank(name, choice) ? String(rank(name, choice)) : "")))))), "what was held")];
}

const COSTS = {
  train_seconds: ["to train", 1, 0, "s"], judge_seconds: ["to judge", 1, 0, "s"], peak_memory_bytes: ["peak memory", 2 ** 30, 2, "GiB"], artefact_bytes: ["size of the edit", 2 ** 20, 1, "MiB"],
  forwards: ["passes", 1, 0, "forward"], backwards: ["passes", 1, 0, "backward"], forward_equivalents_per_pair: ["an erase–keep pair", 1, 1, "F-equivalents"],
};

/** A run's cost in words. */
function cost(run) {
  return Object.entries(COSTS).filter(([key]) => known(run.cost[key])).map(([key, [words, unit, digits, name]]) => `${plain(run.cost[key] / unit, digits)} ${name} ${words}`).join(", ");
}

/** Nested mappings as [name, value] pairs, with dots. */
function flat(node, prefix = "") {
  if (!node || typeof node !== "object" || Array.isArray(node)) return [[prefix, node]];
  return Object.entries(node).flatMap(([name, child]) => flat(child, prefix ? `${prefix}.${name}` : name));
}

function origin(run) {
  const pairs = (words, list) => make("details", {}, make("summary", {}, words), boxed(tableOf([["field", "text"], ["value", "text"]], list.map(([name, one]) => [name, make("code", {}, said(one))])), words));
  const { versions = {}, ...lock } = run.lock;
  const about = [["folder", run.folder], ["state", run.state], ["began", run.started ? new Date(1000 * run.started).toISOString().replace("T", " ").slice(0, 16) : undefined]];
  const edited = run.edit.base ? [["base", run.edit.base], ["hash of the base", run.edit.base_hash], ...run.edit.concepts.map((c) => [`erased: ${c.name}`, [...c.prompts, ...(c.synonyms ?? [])].join(" · ")])] : [];
  return [heading("How it was made"),
    run.command ? [make("p", {}, "The command:"), make("pre", { tabindex: 0, "aria-label": "the command that made it" }, run.command)] : "",
    cost(run) ? make("p", {}, `Cost: ${cost(run)}.`) : "",
    pairs("where it lies and what was erased", [...about, ...edited].filter(([, one]) => known(one))),
    Object.keys(lock).length ? pairs("what it was judged with", flat(lock)) : "",
    Object.keys(versions).length ? pairs("versions", Object.entries(versions)) : "",
    Object.keys(run.settings).length ? pairs("configuration", Object.entries(run.settings).sort(([a], [b]) => a.localeCompare(b))) : ""];
}

/** All of a run; of one that did not finish, its reason. Its figures, which follow the slider, have a place of their own. */
function renderRun(place, run) {
  replace(place, ...[
    ALONE ? null : make("h2", { tabindex: -1 }, run.name),
    run.state === "finished" && !run.why ? null : make("p", { class: "bad" }, `${run.state}${run.why ? `: ${run.why}` : ""}`),
    make("div", { id: "run-figures" }),
    ...(Object.keys(run.losses).length ? [heading("Losses"), make("p", {}, "Each on its own scale."), lossPlots([run])] : []),
    held(run), origin(run),
  ].flat(Infinity).filter(Boolean));
}

function renderFigures(place, run) {
  const parts = Object.keys(run.figures).length ? [mainFigures(run), onTheWay(run), attacks(run), distances(run), damage(run), pictures(run)] : [];
  place.replaceChildren(...parts.flat(Infinity).filter(Boolean));
}
