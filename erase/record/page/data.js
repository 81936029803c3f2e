"use strict";
// This file is what the page knows, and how it is said. Names and prompts are data: they become text, never markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs.map((run, index) => ({
  ...run,
  index,
  settings: run.settings ? { ...DATA.settings, ...run.settings } : {}, // a run that never began, or cannot be read, has none
  lock: run.lock ? { ...DATA.lock, ...run.lock } : {},
}));
const BY_NAME = new Map(RUNS.map((run) => [run.name, run]));
const ALONE = RUNS.length === 1;

/** What runs are measured by: what is said of it, whether less is better, digits, whether the table begins with it. `damage` is
 * the drop of psr_1 or of psr_1_siblings, whichever is more: siblings are few among all, and the first to be hurt. */
const MEASURES = new Map([
  ...DATA.measures.flatMap(([key, one]) => [[key, one], ...(key === "psr_1" ? [["damage", { words: "damage: lost of siblings or of all kept", less: true, digits: 3, first: true }]] : [])]),
  ["train_seconds", { words: "seconds to train", less: true, digits: 0, first: true }],
  ["forward_equivalents_per_pair", { words: "F-equivalents an erase–keep pair", less: true, digits: 1 }],
]);

/** An element with attributes and children; strings among them are text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A number with so many digits, never a negative nought; nothing where there is none. */
function plain(value, digits = 3) {
  return known(value) ? value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", "−") : "";
}

/** A change with its sign, nought without one. */
function change(value, digits = 3) {
  const said = plain(value, digits);
  return said === "" || Number(value.toFixed(digits)) === 0 || said.startsWith("−") ? said : `+${said}`;
}

/** “low – high” of a figure's part, such as `after`. */
function interval(figure, part = "after", digits = 3) {
  const [low, high] = [figure[`${part}_low`], figure[`${part}_high`]];
  return known(low) && known(high) ? `${plain(low, digits)} – ${plain(high, digits)}` : "";
}

/** A setting of a run by the name that one types, or one of its measures (`psr_1`, `psr_1.drop`); undefined where it has none. */
function value(run, name) {
  if (name === "concept") return run.concepts.join("+");
  if (name === "run" || name === "name") return run.name;
  if (name === "state" || name === "why" || name === "command" || name === "folder") return run[name];
  if (Object.hasOwn(run.chosen, name)) return run.chosen[name];
  if (Object.hasOwn(run.settings, name)) return run.settings[name];
  if (Object.hasOwn(run.cost, name)) return run.cost[name];
  if (name === "damage") return harm(run)?.drop;
  const whole = figure(run, name);
  const [, key, part] = name.match(PARTS) ?? [];
  return whole ? whole.after : part && figure(run, key)?.[part];
}

const PARTS = /^(.+)\.((?:before|after|drop|retrained)(?:_low|_high)?|n)$/s;

/** The figure whose drop is a run's damage, with its name in `of`; undefined where it has none. */
function harm(run, step = null) {
  const each = ["psr_1_siblings", "psr_1"].map((of) => ({ of, ...figure(run, of, step) })).filter(({ drop }) => known(drop));
  return each.sort((a, b) => b.drop - a.drop)[0];
}

/** What a run reaches in one of MEASURES: {at, low, high, before, retrained}; null where it has none. */
function measure(run, key) {
  const found = key === "damage" ? harm(run) : figure(run, key);
  if (key === "damage" && found) {
    const truth = known(found.retrained) ? found.before - found.retrained : undefined;
    return { at: found.drop, low: found.drop_low, high: found.drop_high, before: 0, retrained: truth };
  }
  if (found) return { at: found.after, low: found.after_low, high: found.after_high, before: found.before, retrained: found.retrained };
  return known(run.cost[key]) ? { at: run.cost[key] } : null;
}

/** The label that lost most, and its figure; null where none lost any. */
function worst(run) {
  return labels(run).reduce((most, one) => (one.figure.drop > (most?.figure.drop ?? 0) ? one : most), null);
}

/** Every kept label with its figure and role, as judged. */
function labels(run) {
  const cells = (DATA.layouts[run.layout] ?? []).filter((cell) => cell.role === "sibling" || cell.role === "kept");
  const roles = new Map(cells.map((cell) => [cell.label, cell.role]));
  const names = Object.keys(run.figures).filter((name) => name.startsWith("psr_1/"));
  return names.map((name) => ({ label: name.slice(6), figure: figure(run, name), role: roles.get(name.slice(6)) ?? "kept" }));
}

/** How often the adversary held a prompt that names `label`, of how many choices. */
function timesChosen(run, label) {
  run.held ??= new Map();
  if (!run.held.has(label)) {
    const named = new RegExp(`(^|\\W)${label.replace(/[^\w ]/g, "\\$&")}(\\W|$)`, "i");
    run.held.set(label, run.choices.filter((choice) => choice.chosen.some((prompt) => named.test(prompt))).length);
  }
  return run.held.get(label);
}

/** A name that may go on in the next line at certain places: after each hyphen, low line and plus, unless others are told. */
const parted = (name, places = /(?<=[-_+])/) => name.split(places).flatMap((part, at) => (at ? [make("wbr"), part] : [part]));

/** A link to a run that keeps the rest of the view; also where that is the run shown already; `narrow`: in several lines. */
function runLink(run, narrow = false) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a window of its own
    if (VIEW.run !== run.name) change_view({ run: run.name });
    go(event, "run");
  };
  return make("a", { href: address({ ...VIEW, run: run.name }), "data-run": run.name, onclick: follow }, narrow ? parted(run.name) : run.name);
}

/** A table in a box that scrolls by itself, which the keyboard reaches. */
function boxed(table, label, kind = "") {
  return make("div", { class: `scroll ${kind}`, tabindex: 0, role: "region", "aria-label": label }, table);
}
