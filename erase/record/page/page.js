// This file puts the page together, and draws anew what a change of the view touches.

COLUMNS = allColumns();

/** The page's sections: id, words in the list of contents, what stands in it. */
const SECTIONS = [
  !ALONE && ["experiments", "Experiments", () => [make("h2", { tabindex: -1 }, "Experiments"), make("div", { class: "controls", id: "filters" }), make("p", { id: "shown", role: "status" }),
    make("details", { id: "column-choice" }, make("summary", {}, "Columns"), make("div", { class: "checks", id: "columns" })), make("div", { id: "table" })]],
  !ALONE && ["seeds", "Over seeds", () => []],
  !ALONE && ["trade", "Trade-off", tradeOff],
  !ALONE && ["damage", "What was hurt", () => []],
  !ALONE && ["failed", "What did not finish", () => []],
  ["run", ALONE ? "" : "One run", () => []],
  !ALONE && ["pair", "Two runs", () => []],
  ALONE && ["trade", "", tradeOff],
].filter(Boolean);

function tradeOff() {
  return [make("h2", { tabindex: -1 }, ALONE ? "Between the known ends" : "The trade-off"),
    make("p", {}, "What was erased against what was kept, with 95 % intervals. The unedited and the retrained model are the known ends.", ALONE ? "" : " A click on a point shows the run below."),
    make("div", { class: "controls", id: "trade-controls" }),
    make("div", { class: "beside-plot" }, make("div", { class: "plot trade", id: "trade-plot", role: "img", "aria-label": "the trade-off picture; the table beside it has its figures" }), boxed(make("div", { id: "trade-table" }), ALONE ? "figures of the picture" : "the Pareto front"))];
}

/** Go to a section without a trace in the address, which is the view's. */
function go(event, id) {
  event.preventDefault();
  const section = document.getElementById(id);
  section.scrollIntoView();
  section.querySelector("h2, h3")?.focus({ preventScroll: true });
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

/** What details are about. */
const about = (details) => details.dataset.about ?? details.querySelector("summary").textContent;

/** Draw a section unless what it depends on is as before. The keyboard stays where it was: on what is named alike; what was open
 * stays open. */
function when(id, depends, drawing) {
  const [place, active, now] = [document.getElementById(id), document.activeElement, JSON.stringify([DARK.matches, depends])];
  if (place.drawn === now) return;
  place.drawn = now;
  const open = new Set([...place.querySelectorAll("details[open]")].map(about));
  const mark = place.contains(active) && [...active.attributes].find(({ name }) => name === "id" || name.startsWith("data-"));
  drawing(place);
  for (const one of place.querySelectorAll("details")) one.open ||= open.has(about(one));
  if (mark && !active.isConnected) place.querySelector(`[${mark.name}="${CSS.escape(mark.value)}"]`)?.focus({ preventScroll: true });
}

/** Do in `place` what can wait until the next frame has been seen, unless something else is due there by then. */
function afterwards(place, task) {
  place.due = task;
  requestAnimationFrame(() => setTimeout(() => place.due === task && task()));
}

function render() {
  const { judge, filter, run, pair: picked, columns: list, sort, x, y, colour: hue } = VIEW;
  if (RUNS.some((one) => one.scores && one.again)) when("judge", [judge], renderJudge);
  const runs = passing(filter);
  if (!ALONE) {
    when("filters", [], renderFilter);
    const text = document.getElementById("filter");
    if (document.activeElement !== text || text.value.trim() !== filter.trim()) text.value = filter;
    when("columns", [list], renderColumns);
    when("table", [judge, filter, run, picked, list, sort], (place) => renderTable(place, runs));
    when("pair", [picked], renderPair);
    if (document.getElementById("pair-figures")) when("pair-figures", [judge, picked], renderTogether);
    when("seeds", [judge, filter], (place) => renderSeeds(place, runs));
    when("damage", [judge, filter], (place) => renderDamage(place, runs));
    when("failed", [filter], (place) => renderFailed(place, runs));
  }
  if (document.getElementById("trade")) when("trade", [judge, filter, run, x, y, hue], () => renderTrade(runs));
  const chosen = ALONE ? RUNS[0] : BY_NAME.get(run) ?? sorted(runs)[0];
  const place = document.getElementById("run");
  place.due = null;
  if (ALONE || run || !place.drawn) renderChosen(chosen);
  else afterwards(place, () => afterwards(place, () => renderChosen(chosen))); // who sorts waits for the table alone, all of it
}

/** The run below the table, and what leads to it. */
function renderChosen(chosen) {
  when("run", [chosen?.name], (place) => (chosen ? renderRun(place, chosen) : replace(place, make("p", {}, "No run fits the filter."))));
  if (chosen) when("run-figures", [VIEW.judge, chosen.name], (place) => renderFigures(place, chosen));
  for (const entry of document.querySelectorAll("#contents li")) entry.hidden = document.getElementById(entry.dataset.of).hidden;
  document.querySelectorAll("a[data-run]").forEach((link) => link.setAttribute("href", address({ ...VIEW, run: link.dataset.run })));
}

/** What the page is about, in a line. */
function lead() {
  if (ALONE) return cost(RUNS[0]) || RUNS[0].state;
  const states = new Map();
  for (const run of RUNS) states.set(run.state, (states.get(run.state) ?? 0) + 1);
  const counts = [...states].map(([state, n]) => `${n} ${state}`).join(", ");
  // a lock's own part is what not all have alike; versions may differ, a retrained network is its concept's, some are not attacked
  const judged = DATA.runs.filter((run) => run.lock);
  const alike = (name) => new Set(judged.filter((run) => name in run.lock || !name.startsWith("attack/")).map((run) => JSON.stringify(run.lock[name]))).size < 2;
  const unlike = [...new Set(judged.flatMap((run) => Object.keys(run.lock)))].filter((name) => !["versions", "retrained"].includes(name) && !alike(name));
  return `${counts}. They differ in ${DATA.differing.slice(0, 6).join(", ") || "nothing"}${DATA.differing.length > 6 ? ` and ${DATA.differing.length - 6} more` : ""}.`
    + (unlike.length ? ` They were not all judged alike: see ${unlike.join(", ")} under “what it was judged with”.` : "");
}

function begin() {
  const sections = SECTIONS.filter(([id]) => id !== "trade" || DATA.measures.length > 0);
  document.getElementById("lead").append(lead());
  document.getElementById("main").append(make("div", { id: "judge" }), ...sections.map(([id, , content]) => make("section", { id }, content())));
  const entries = sections.filter(([, words]) => words);
  if (!ALONE) document.getElementById("contents").append(make("ul", {}, entries.map(([id, words]) => make("li", { "data-of": id }, make("a", { href: `#${id}`, onclick: (event) => go(event, id) }, words)))));
  else document.getElementById("contents").remove();
  VIEW = viewOf(location.hash);
  render();
}

window.addEventListener("popstate", () => {
  const before = VIEW.run;
  if (/^#[\w-]+$/.test(location.hash)) return history.replaceState(null, "", address(VIEW)); // a link to a place on the page
  VIEW = viewOf(location.hash);
  render();
  if (VIEW.run && VIEW.run !== before) go(new Event("run"), "run");
});
DARK.addEventListener("change", render);
begin();
