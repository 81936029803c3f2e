// This file is the view, kept in the address: a link shows what its sender saw.

const [[FIRST, { less: FALLING }] = ["esr_1", {}]] = DATA.measures; // what the table is sorted by until somebody asks
const DEFAULTS = { filter: "", sort: FALLING ? FIRST : `-${FIRST}`, columns: "", x: "esr_1", y: "", colour: "", run: "", pair: "", judge: null };
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
    const text = decoded(rest.join("="));
    view[name] = name === "judge" ? threshold(text) : text;
  }
  return view;
}

/** Text of an address; a damaged link says what it can. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function threshold(text) {
  const number = Math.round(Number(text));
  return text !== "" && number >= 1 && number <= 99 ? number : null;
}

let WAITING = null;

/** Put the view into the address. */
function write(how) {
  clearTimeout(WAITING);
  WAITING = null;
  history[how](null, "", address(VIEW) === "#" ? location.pathname + location.search : address(VIEW));
}

/** Go to a view with some parts changed. A sliding one leaves no trail in the history, and is written when it rests: browsers
 * refuse more than a hundred changes of the address in half a minute. */
function change_view(parts, sliding = false) {
  if (WAITING && !sliding) write("replaceState");
  VIEW = { ...VIEW, ...parts };
  render();
  if (!sliding) return write("pushState");
  clearTimeout(WAITING);
  WAITING = setTimeout(write, 200, "replaceState");
}

/** The two runs that are compared, fewer where fewer were picked. */
function pair() {
  return VIEW.pair.split(",").map((name) => BY_NAME.get(decoded(name))).filter(Boolean).slice(0, 2);
}

/** Pick a run, or put it back; a third takes the place of the first. */
function pick(run) {
  const picked = pair();
  const now = picked.includes(run) ? picked.filter((one) => one !== run) : [...picked, run].slice(-2);
  change_view({ pair: now.map((one) => encodeURIComponent(one.name)).join(",") });
}
