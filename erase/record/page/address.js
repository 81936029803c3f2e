// This file is the view, kept in the address: a link shows what its sender saw.

const DEFAULTS = { filter: "", sort: "-esr_1", columns: "", x: "esr_1", y: "", colour: "", run: "", pair: "", judge: null };
let VIEW = { ...DEFAULTS };

/** The address of a view: what differs from the defaults. */
function address(view) {
  const said = Object.entries(view).filter(([name, value]) => value !== DEFAULTS[name]);
  const words = said.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/")}`);
  return `#${words.join("&")}`;
}

/** The view of an address; what it does not know, it leaves out. */
function viewOf(hash) {
  const view = { ...DEFAULTS };
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, ...rest] = part.split("=");
    if (!(name in DEFAULTS)) continue;
    let text = rest.join("=");
    try { text = decodeURIComponent(text); } catch { /* a damaged link says what it can */ }
    view[name] = name === "judge" ? threshold(text) : text;
  }
  return view;
}

function threshold(text) {
  const number = Math.round(Number(text));
  return text !== "" && number >= 1 && number <= 99 ? number : null;
}

/** Go to a view with some parts changed; a sliding one leaves no trail in the history. */
function change_view(parts, sliding = false) {
  VIEW = { ...VIEW, ...parts };
  const there = address(VIEW) === "#" ? location.pathname + location.search : address(VIEW);
  history[sliding ? "replaceState" : "pushState"](null, "", there);
  render();
}

/** The two runs that are compared, fewer where fewer were picked. */
function pair() {
  return VIEW.pair.split(",").map((name) => BY_NAME.get(decodeURIComponent(name))).filter(Boolean).slice(0, 2);
}

/** Pick a run, or put it back; a third takes the place of the first. */
function pick(run) {
  const picked = pair();
  const now = picked.includes(run) ? picked.filter((one) => one !== run) : [...picked, run].slice(-2);
  change_view({ pair: now.map((one) => encodeURIComponent(one.name)).join(",") });
}
