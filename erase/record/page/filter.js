// This file is the filter: words and conditions on any field of the config, any figure, any cost.

const CONDITION = /^([\w./ @-]+?)(<=|>=|!=|=|<|>)(.*)$/;

/** Words of a filter; quotes keep spaces together. */
const tokens = (text) => [...text.matchAll(/(?:[^\s"]|"[^"]*")+/g)].map(([token]) => token.replaceAll('"', ""));

/** Whether a value fulfils a condition: numbers as numbers, everything else as text; commas stand between alternatives. */
function fulfils(have, operator, want) {
  if (operator === "!=") return !fulfils(have, "=", want);
  if (have === undefined) return false;
  if (operator === "=") { // a text may have commas of its own, and quotes, which a filter cannot say
    return [want, ...want.split(",")].some((one) => String(have).replaceAll('"', "").toLowerCase() === one.toLowerCase()
      || (one.trim() !== "" && typeof have === "number" && Math.abs(have - Number(one)) < 1e-9));
  }
  const [a, b] = [Number(have), Number(want)];
  if (want.trim() === "" || Number.isNaN(a) || Number.isNaN(b)) return false;
  return { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b }[operator];
}

/** Whether a run fulfils all that a filter says; a plain word is looked for in its name, its state and what was chosen. */
function passes(run, filter) {
  return tokens(filter).every((token) => {
    const condition = token.match(CONDITION);
    if (condition) return fulfils(value(run, condition[1]), condition[2], condition[3]);
    const about = [run.name, run.state, run.why, ...run.concepts, ...Object.values(run.chosen)].join(" ").toLowerCase();
    return about.includes(token.toLowerCase());
  });
}

const shown = () => RUNS.filter((run) => passes(run, VIEW.filter));

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
  } }, make("option", { value: "" }, "a field"), ...fields().map((name) => make("option", { value: name }, name)));
  values.addEventListener("change", () => {
    if (!values.value) return;
    const added = `${names.value}=${/\s/.test(values.value) ? `"${values.value.replaceAll('"', "")}"` : values.value}`;
    change_view({ filter: `${VIEW.filter} ${added}`.trim() });
  });
  place.replaceChildren(
    make("label", { class: "over wide" }, "Filter: words, or conditions on a field, a figure, a cost", text),
    make("label", { class: "over" }, "Add", names),
    make("label", { class: "over" }, "is", values),
    make("button", { type: "button", id: "clear", onclick: () => change_view({ filter: "" }) }, "Clear"),
  );
}
