// This file is the table of experiments: sorted, filtered, with the columns that one wants, and two of its runs picked.

const STATE_LAST = ["finished", "working", "cut off", "failed", "refused", "unreadable"];

/** Every column that the table can have, by name: its words, the value that sorts, what a cell shows, whether it is text. */
function allColumns() {
  const columns = new Map();
  const add = (key, words, sorts, cell, text = false, first = false) => columns.set(key, { key, words, sorts, cell, text, first });
  if (RUNS.some((run) => run.state !== "finished")) add("state", "state", (run) => STATE_LAST.indexOf(run.state), (run) => run.state, true);
  DATA.differing.forEach((name, at) => {
    const numbers = RUNS.every((run) => !known(value(run, name)) || typeof value(run, name) === "number");
    add(name, name, (run) => value(run, name), (run) => said(value(run, name)), !numbers, at < 3);
  });
  for (const [key, { words, digits, less, first }] of MEASURES) {
    if (!RUNS.some((run) => measure(run, key))) continue;
    add(key, words, (run) => measure(run, key)?.at, (run) => figureCell(run, key, digits), false, first);
    columns.get(key).less = less;
  }
  for (const [key, words] of [["judge_seconds", "seconds to judge"], ["peak_memory_bytes", "peak memory, GiB"], ["artefact_bytes", "edit, MiB"]]) {
    const unit = { peak_memory_bytes: 2 ** 30, artefact_bytes: 2 ** 20 }[key] ?? 1;
    add(key, words, (run) => run.cost[key], (run) => (known(run.cost[key]) ? plain(run.cost[key] / unit, unit === 1 ? 0 : 2) : ""));
  }
  return columns;
}

/** A setting in words. */
function said(setting) {
  if (!known(setting)) return "";
  return typeof setting === "object" ? JSON.stringify(setting) : String(setting);
}

function figureCell(run, key, digits) {
  const found = measure(run, key);
  if (!found) return "";
  const small = known(found.low) ? `${plain(found.low, digits)} – ${plain(found.high, digits)}` : "";
  const under = key === "psr_1_worst" ? worst(run)?.label ?? "" : small;
  return [plain(found.at, digits), under && make("span", { class: "fine" }, under)];
}

let COLUMNS;

/** The columns to show: those named in the address, else the first ones. */
function columns() {
  const named = VIEW.columns.split(",").filter((key) => COLUMNS.has(key));
  return named.length ? named.map((key) => COLUMNS.get(key)) : [...COLUMNS.values()].filter((column) => column.first);
}

const WORDS = new Intl.Collator("en", { numeric: true });

/** Runs in the order of the address: `-esr_1` is highest first. Runs without a value stand last, equal ones by what they kept,
 * of the siblings first: they are hurt before all else is. */
function sorted(runs) {
  const down = VIEW.sort.startsWith("-");
  const key = VIEW.sort.replace(/^-/, "");
  const sorts = key === "run" ? (run) => run.name : COLUMNS.get(key)?.sorts ?? (() => 0);
  const kept = (run) => ["psr_1_siblings", "psr_1"].map((key) => figure(run, key)?.after ?? -1);
  const rows = runs.map((run) => ({ run, by: sorts(run), kept: kept(run) }));
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : WORDS.compare(a, b));
  rows.sort((a, b) => known(b.by) - known(a.by) || (known(a.by) && (down ? order(b.by, a.by) : order(a.by, b.by)))
    || b.kept[0] - a.kept[0] || b.kept[1] - a.kept[1] || a.run.index - b.run.index);
  return rows.map(({ run }) => run);
}

/** A column's head: a button that sorts, falling first where more is better, rising where less is. */
function head(column) {
  const [now, down] = [VIEW.sort.replace(/^-/, "") === column.key, VIEW.sort.startsWith("-")];
  const turned = now ? !down : !(column.text || column.less);
  const sort = () => change_view({ sort: `${turned ? "-" : ""}${column.key}` });
  const order = now ? (down ? "descending" : "ascending") : undefined;
  return make("th", { scope: "col", "aria-sort": order, class: `${column.text ? "text" : "tight"} ${column.key === "run" ? "name" : ""}` },
    make("button", { type: "button", "data-sort": column.key, title: column.key, onclick: sort }, parted(column.words, /(?<=\.)(?!\d)/)));
}

/** Characters of a setting that stand in one line. */
const LONG = 28;

/** A run's row. */
function row(run, shownColumns) {
  const picked = pair().includes(run);
  return make("tr", { class: picked || VIEW.run === run.name ? "on" : "", "data-row": run.name },
    make("td", {}, make("input", { type: "checkbox", checked: picked, "aria-label": `compare ${run.name}`, "data-pick": run.name, onchange: () => pick(run) })),
    make("th", { scope: "row", class: "text name", title: run.name }, runLink(run), run.state === "finished" ? "" : make("span", { class: "fine bad" }, run.state)),
    shownColumns.map((column) => {
      const cell = column.cell(run);
      return make("td", { class: column.text ? (cell.length > LONG ? "text long" : "text") : "" }, cell);
    }));
}

/** The checkboxes of all columns. */
function renderColumns(place) {
  const now = new Set(columns().map((column) => column.key));
  const toggle = (key) => () => {
    if (!now.delete(key)) now.add(key);
    change_view({ columns: [...COLUMNS.keys()].filter((one) => now.has(one)).join(",") });
  };
  const boxes = [...COLUMNS.values()].map(({ key, words }) =>
    make("label", {}, make("input", { type: "checkbox", checked: now.has(key), "data-column": key, onchange: toggle(key) }), ` ${words}`));
  place.replaceChildren(...boxes);
}

/** Rows that are more than a screen. */
const SCREEN = 60;

/** The table and its rows are made once for what they show: sorting and filtering only put rows in order, in the table that
 * stands there, since a browser lays out another one for twice as long. Those beyond a screen come after its frame. */
function renderTable(place, runs) {
  const list = columns();
  const shows = JSON.stringify([VIEW.judge, VIEW.columns, VIEW.pair, VIEW.run]);
  const [left, top] = [place.firstChild?.scrollLeft ?? 0, place.firstChild?.scrollTop ?? 0];
  if (place.shows !== shows) {
    [place.shows, place.rows] = [shows, new Map()];
    place.replaceChildren(boxed(make("table", { id: "runs" }, make("thead"), make("tbody")), "experiments, a table that scrolls", "tall"));
  }
  const [[box], again] = [place.children, VIEW.sort === place.sortedBy];
  const [body, seen] = [box.querySelector("tbody"), again && top ? Infinity : SCREEN];
  const rowOf = (run) => place.rows.get(run) ?? place.rows.set(run, row(run, list)).get(run);
  const heads = make("tr", {}, make("th", { scope: "col" }, "pair"), head({ key: "run", words: "run", text: true }), list.map(head));
  const hold = (widths) => [...heads.children].forEach((one, at) => { one.style.minWidth = widths[at] ? `${widths[at]}px` : ""; });
  hold([...box.querySelectorAll("thead th")].map((one) => one.offsetWidth)); // columns stay as wide as all rows made them
  box.querySelector("thead").replaceChildren(heads);
  const rows = sorted(runs).map(rowOf);
  body.replaceChildren(...rows.slice(0, seen));
  afterwards(place, () => { body.append(...rows.slice(seen)); hold([]); });
  box.scrollTo(left, again ? top : 0);
  place.sortedBy = VIEW.sort;
  const [picked, unknown] = [pair(), strange(VIEW.filter)];
  document.getElementById("shown").replaceChildren(
    `${runs.length} of ${RUNS.length} runs. `, unknown.length ? `No run has a field ${unknown.join(", ")}. ` : "",
    picked.length === 2 ? make("a", { href: address(VIEW), onclick: (event) => go(event, "pair") }, `Compare ${picked[0].name} with ${picked[1].name}`)
      : picked.length === 1 ? `${picked[0].name} is picked; pick one more to compare.` : "Pick two to compare.");
}
