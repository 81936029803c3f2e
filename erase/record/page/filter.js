// This file is the filter: words and conditions on any field of the config, any figure, any cost.

const CONDITION = /^(.+?)(<=|>=|!=|=|<|>)(.*)$/s;

/** Words of a filter; quotes keep spaces together, and an operator between spaces what it stands between. */
const tokens = (text) => [...text.replace(/"[^"]*"|\s+(<=|>=|!=|=|<|>)\s+/g, (all, operator) => operator ?? all).matchAll(/(?:[^\s"]|"[^"]*")+/g)].map(([token]) => token.replaceAll('"', ""));

/** Whether a value fulfils a condition: numbers as numbers, everything else as text; commas stand between alternatives. */
function fulfils(have, operator, want) {
  if (operator === "!=") return !fulfils(have, "=", want);
  if (have === undefined) return false;
  if (operator === "=") { // a text may have commas of its own, and quotes, which a filter cannot say
    return [want, ...want.split(",")].some((one) => String(have).replaceAll('"', "").toLowerCase() === one.toLowerCase()
      || (one.trim() !== "" && typeof have === "number" && Math.abs(have - Number(one)) < 1e-9));
  }
  const [a, b] = [have, want].map((one) => (typeof one === "number" || (typeof one === "string" && one.trim() !== "") ? Number(one) : NaN));
  return { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b }[operator];
}

/** What a filter calls a setting, a measure or a figure of one label: its name, or its end where no other setting ends so. */
function answer(run, name) {
  const found = value(run, name);
  const ending = found === undefined ? Object.keys(run.settings).filter((field) => field.endsWith(`.${name}`)) : [];
  return ending.length === 1 ? run.settings[ending[0]] : found;
}

/** A condition's field, operator and what is wanted. A name may hold what divides others, so that the longest that any run has
 * is meant; null for a plain word. */
function condition(token) {
  const every = [...token.matchAll(/<=|>=|!=|=|<|>/g)].reverse().map(({ 0: operator, index }) => [token.slice(0, index), operator, token.slice(index + operator.length)]);
  return every.find(([name]) => name && RUNS.some((run) => answer(run, name) !== undefined)) ?? token.match(CONDITION)?.slice(1) ?? null;
}

/** The runs that fulfil all that a filter says, in order; a plain word is looked for in a run's name, its state and what was chosen. */
function passing(filter) {
  const asked = tokens(filter).map((token) => [token.toLowerCase(), condition(token)]);
  const about = (run) => [run.name, run.state, run.why, ...run.concepts, ...Object.values(run.chosen)].join(" ").toLowerCase();
  return RUNS.filter((run) => asked.every(([word, has]) => (has ? fulfils(answer(run, has[0]), has[1], has[2]) : about(run).includes(word))));
}

/** The fields that a filter asks for and no run has. */
const strange = (filter) => tokens(filter).map(condition).filter((has) => has && RUNS.every((run) => answer(run, has[0]) === undefined)).map(([name]) => name);

/** Fields that a filter can ask for: what differs first, then the rest of the config, then what is measured. */
function fields() {
  const all = new Set([...DATA.differing, "state", ...MEASURES.keys(), ...RUNS.flatMap((run) => Object.keys(run.settings)).sort()]);
  return [...all].filter((name) => RUNS.some((run) => known(value(run, name))));
}

/** The values that runs have in a field, in order; few enough to choose from, else none. */
function valuesOf(name) {
  const found = [...new Set(RUNS.map((run) => value(run, name)).filter(known).map(String))];
  return found.length > 60 ? [] : found.sort((a, b) => (Number(a) - Number(b)) || a.localeCompare(b));
}

/** The controls: the filter as text, and a field and a value to add to it. */
function renderFilter(place) {
  const text = make("input", { type: "text", id: "filter", value: VIEW.filter, spellcheck: "false", autocomplete: "off",
    placeholder: "method=esd esr_1>0.9 damage<0.02", oninput: (event) => change_view({ filter: event.target.value }, true) });
  const values = make("select", { id: "filter-value", disabled: true }, make("option", { value: "" }, "–"));
  const names = make("select", { id: "filter-field", onchange: () => {
    const options = valuesOf(names.value).map((one) => make("option", { value: one }, one));
    values.replaceChildren(make("option", { value: "" }, options.length ? "choose" : "too many: type it"), ...options);
    values.disabled = !options.length;
  } }, make("option", { value: "" }, "a field"), ...fields().map((name) => make("option", { value: name }, MEASURES.has(name) ? `${name} (${MEASURES.get(name).words})` : name)));
  values.addEventListener("change", () => {
    if (!values.value) return;
    const added = `${names.value}=${values.value}`;
    change_view({ filter: `${VIEW.filter} ${/\s/.test(added) ? `"${added.replaceAll('"', "")}"` : added}`.trim() });
  });
  place.replaceChildren(
    make("label", { class: "over wide" }, "Filter: words, or conditions on a field, a figure, a cost", text),
    make("label", { class: "over" }, "Add", names),
    make("label", { class: "over" }, "is", values),
    make("button", { type: "button", id: "clear", onclick: () => change_view({ filter: "" }) }, "Clear"),
  );
}
