// This file is the plots: plotly's code unpacked when the first is drawn; beside every plot stands a table or a text.

const HUES = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const SHAPES = ["circle", "square", "triangle-up", "cross", "pentagon", "triangle-down", "hexagon", "bowtie"];
let LIBRARY;

/** plotly, once. Nothing is fetched: its code lies in the page, packed. */
function plotly() {
  LIBRARY ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const code = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(make("script", {}, code));
    return window.Plotly;
  })();
  return LIBRARY;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Draw into `place`, in the page's own colours, light or dark. */
async function draw(place, traces, layout) {
  const ticket = (place.ticket = (place.ticket ?? 0) + 1);
  try {
    const library = await plotly();
    if (place.ticket !== ticket || !place.isConnected) return;
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("rule"), automargin: true };
    const { xaxis, yaxis, ...rest } = layout;
    await library.react(place, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "system-ui, sans-serif", size: 13, color: colour("ink") },
      margin: { l: 64, r: 16, t: 16, b: 52 }, hovermode: "closest", hoverlabel: { font: { family: "system-ui, sans-serif" }, align: "left" },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      ...rest, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
    }, { displayModeBar: false, responsive: true });
  } catch (error) {
    place.replaceChildren(make("p", {}, `This browser cannot draw the plot (${error.message}); the table beside it has the same numbers.`));
  }
}

/** Put new content into a place. Plots that stood there end: else they listen to the window for ever. */
function replace(place, ...content) {
  place.querySelectorAll(".js-plotly-plot").forEach((plot) => window.Plotly.purge(plot));
  place.replaceChildren(...content);
}

/** Text for a plot: plotly reads some tags, so that names must not hold any. */
const hover = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const MODELS = new Set(RUNS.map((run) => run.lock.model).filter(known));

/** What runs of one front have in common: the concept, and the model where not all have one. */
const ground = (run) => [value(run, "concept"), ...(MODELS.size > 1 ? [`${value(run, "model") ?? ""} ${run.lock.model?.slice(0, 8) ?? ""}`.trim()] : [])].join(", ");

/** Runs that no other of their ground beats in one measure without being beaten in the other. */
function front(points, x, y) {
  const sign = (key) => (MEASURES.get(key).less ? -1 : 1);
  const better = (a, b) => a.ground === b.ground && sign(x) * (a.x.at - b.x.at) >= 0
    && sign(y) * (a.y.at - b.y.at) >= 0 && (a.x.at !== b.x.at || a.y.at !== b.y.at);
  return points.filter((one) => !points.some((other) => better(other, one)))
    .sort((a, b) => a.x.at - b.x.at || a.y.at - b.y.at);
}

/** The measures on the two axes: those of the address where some run has them. */
function axes() {
  const have = [...MEASURES.keys()].filter((key) => RUNS.some((run) => measure(run, key)));
  const chosen = (...wanted) => [...wanted, ...have].find((one) => have.includes(one));
  const x = chosen(VIEW.x, "esr_1");
  const others = have.filter((key) => key !== x);
  return { have, x, y: chosen(VIEW.y, "psr_1_siblings", "psr_1", others.find((key) => !MEASURES.get(key).less), ...others) };
}

/** What points are coloured by: the field of the address, else what tells few groups of runs apart. */
function grouping() {
  const few = (name) => new Set(RUNS.map((run) => said(value(run, name)))).size <= HUES.length;
  return DATA.differing.includes(VIEW.colour) ? VIEW.colour : ["method", ...DATA.differing].find((name) => DATA.differing.includes(name) && few(name));
}

/** One trace of points, with the intervals of those that are `whole`. */
function points(name, list, hue, symbol, whole, x, y) {
  const bars = (key) => ({
    type: "data", symmetric: false, thickness: 1, width: 0, color: hue,
    array: list.map((p) => (whole(p) ? Math.max(0, (p[key].high ?? p[key].at) - p[key].at) : 0)),
    arrayminus: list.map((p) => (whole(p) ? Math.max(0, p[key].at - (p[key].low ?? p[key].at)) : 0)),
  });
  const lines = (p) => [`<b>${hover(p.run.name)}</b>`, ...[["x", x], ["y", y]].map(([at, key]) => {
    const { words, digits } = MEASURES.get(key);
    const ends = known(p[at].low) ? ` (${plain(p[at].low, digits)} – ${plain(p[at].high, digits)})` : "";
    return `${hover(words)}: ${plain(p[at].at, digits)}${ends}`;
  }), ...DATA.differing.slice(0, 4).map((field) => `${hover(field)}: ${hover(said(value(p.run, field)))}`)].join("<br>");
  return {
    type: "scatter", mode: "markers", name: hover(name), x: list.map((p) => p.x.at), y: list.map((p) => p.y.at), error_x: bars("x"), error_y: bars("y"),
    marker: { color: hue, symbol, size: list.map((p) => (p.run.name === VIEW.run ? 15 : 9)), line: { width: 1, color: colour("card") } },
    opacity: 0.9, customdata: list.map((p) => p.run.name), text: list.map(lines), hovertemplate: "%{text}<extra></extra>",
  };
}

/** The known ends: what the unedited and the retrained models reach, one mark for each that differs. */
function ends(list, part, name, symbol, hue) {
  const seen = new Map();
  for (const { run, x, y } of list) {
    if (!known(x[part]) || !known(y[part])) continue;
    const key = `${x[part].toFixed(4)} ${y[part].toFixed(4)}`;
    seen.set(key, { x: x[part], y: y[part], of: new Set([...(seen.get(key)?.of ?? []), run.concepts.join("+")]) });
  }
  const marks = [...seen.values()];
  return {
    type: "scatter", mode: "markers", name, x: marks.map((m) => m.x), y: marks.map((m) => m.y), marker: { symbol, size: 13, color: hue, line: { width: 2, color: hue } },
    text: marks.map((m) => `<b>${name}</b><br>${hover([...m.of].join(", "))}`), hovertemplate: "%{text}<extra></extra>",
  };
}

/** The way of one run through its checkpoints. */
function way(run, x, y, hue) {
  const at = (step, key) => (key === "damage" ? harm(run, step)?.drop : figure(run, key, step)?.after);
  const steps = Object.keys(run.checkpoints).map(Number).sort((a, b) => a - b).filter((step) => known(at(step, x)) && known(at(step, y)));
  const all = [...steps.map((step) => [at(step, x), at(step, y), `after ${step} updates`]), [measure(run, x)?.at, measure(run, y)?.at, ""]];
  return {
    type: "scatter", mode: "lines+markers", name: `${hover(run.name)}, on the way`, x: all.map((p) => p[0]), y: all.map((p) => p[1]), text: all.map((p) => p[2]),
    hovertemplate: "%{text}<extra></extra>", line: { color: hue, width: 1, dash: "dot" }, marker: { size: 5, color: hue },
  };
}

/** The trade-off picture, and the table of its front. */
function renderTrade(runs) {
  const { have, x, y } = axes();
  const all = runs.map((run) => ({ run, ground: ground(run), x: measure(run, x), y: measure(run, y) })).filter((p) => known(p.x?.at) && known(p.y?.at));
  const best = front(all, x, y);
  const fronts = [...new Set(best.map((p) => p.ground))].sort().map((name) => ({ name, line: best.filter((p) => p.ground === name) }));
  const groups = grouping();
  const names = groups ? [...new Set(all.map((p) => said(value(p.run, groups))))].sort() : [""];
  const many = all.length > 15;
  const whole = (p) => !many || best.includes(p) || p.run.name === VIEW.run;
  const traces = names.map((name, at) => points(name || "edited", all.filter((p) => !groups || said(value(p.run, groups)) === name),
    colour(HUES[at % HUES.length]), SHAPES[(at + Math.floor(at / HUES.length)) % SHAPES.length], whole, x, y));
  const each = fronts.length > 1 ? " of each concept" : "";
  traces.unshift(...fronts.map(({ line }) => line).filter((line) => line.length > 1).map((line, at) => ({
    type: "scatter", mode: "lines", name: `Pareto front${each}`, legendgroup: "front", showlegend: !at,
    x: line.map((p) => p.x.at), y: line.map((p) => p.y.at), line: { color: colour("rule"), width: 1.5 }, hoverinfo: "skip",
  })));
  traces.push(ends(all, "before", "unedited", "diamond-open", colour("soft")), ends(all, "retrained", "retrained without it", "star-open", colour("truth")));
  const run = ALONE ? RUNS[0] : BY_NAME.get(VIEW.run);
  if (run && Object.keys(run.checkpoints).length && all.some((p) => p.run === run)) traces.push(way(run, x, y, colour("ink")));
  const plot = document.getElementById("trade-plot");
  const axis = (key) => ({ title: { text: `${hover(MEASURES.get(key).words)}${MEASURES.get(key).less ? " (less is better)" : ""}` } });
  draw(plot, traces.filter((trace) => trace.x.length), { xaxis: axis(x), yaxis: axis(y) }).then(() => {
    if (!plot.on || plot.listens) return;
    plot.listens = true;
    plot.on("plotly_click", ({ points: [point] }) => {
      if (ALONE || !BY_NAME.has(point.customdata)) return;
      change_view({ run: point.customdata });
      go(new Event("run"), "run");
    });
  });
  const select = (key, now, options) => make("select", { id: `trade-${key}`, onchange: (event) => change_view({ [key]: event.target.value }) },
    options.map(([one, words]) => make("option", { value: one, selected: one === now }, words)));
  const measures = have.map((key) => [key, MEASURES.get(key).words]);
  document.getElementById("trade-controls").replaceChildren(
    make("label", { class: "over" }, "Across", select("x", x, measures)), make("label", { class: "over" }, "Up", select("y", y, measures)),
    groups ? make("label", { class: "over" }, "Colour and shape", select("colour", groups, DATA.differing.map((name) => [name, name]))) : "");
  const heads = [["run", "text"], ...[x, y].map((key) => [MEASURES.get(key).words, "tight"])].map(([words, kind]) => make("th", { scope: "col", class: kind }, words));
  const rows = ({ name, line }) => make("tbody", {},
    each && make("tr", {}, make("th", { scope: "rowgroup", colspan: 3, class: "text long" }, parted(name))),
    (MEASURES.get(x).less ? line : [...line].reverse()).map((p) => make("tr", {}, make("th", { scope: "row", class: "text long" }, runLink(p.run, true)), ...[x, y].map((key, at) => make("td", {}, plain([p.x, p.y][at].at, MEASURES.get(key).digits))))));
  document.getElementById("trade-table").replaceChildren(
    ALONE ? "" : make("p", { class: "fine" }, `The Pareto front${each} of ${all.length === 1 ? "1 run" : `${all.length} runs`}: no other run${each && " of the same concept"}${MODELS.size > 1 ? " and model" : ""} is better in one and as good in the other.${many ? " Intervals are drawn of these and of the run shown below." : ""}`),
    make("table", {}, make("thead", {}, make("tr", {}, heads)), fronts.map(rows)));
}

/** A plot for every loss, of one run or of two. */
function lossPlots(runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.losses)))].filter((name) => name !== "step");
  if (!names.length) return make("p", {}, "No losses were written down: this method trains in closed form, or its run did not begin.");
  return make("div", { class: "small-plots" }, names.map((name) => {
    const having = runs.map((run, at) => ({ run, dash: at ? "dash" : "solid", hue: HUES[at] })).filter(({ run }) => run.losses[name]);
    const plot = make("div", { class: "plot", role: "img", "aria-label": `loss ${name} by update` });
    const traces = having.map(({ run, dash, hue }) => ({ type: "scatter", mode: "lines", name: hover(run.name), x: run.losses.step, y: run.losses[name],
      line: { color: colour(hue), width: 1.5, dash }, hovertemplate: `%{x}: %{y:.4g}<extra>${runs.length > 1 ? hover(run.name) : ""}</extra>` }));
    const sentences = having.map(({ run, dash }) => {
      const values = run.losses[name].filter(known);
      const unlike = values.length < run.losses[name].length ? "; not finite at times" : "";
      const who = runs.length > 1 ? `${run.name} (${dash === "dash" ? "dashed" : "solid"}): ` : "";
      return `${who}first ${exact(values[0])}, highest ${exact(values.length ? Math.max(...values) : null)}, last ${exact(values.at(-1))}${unlike}`;
    });
    requestAnimationFrame(() => draw(plot, traces, { margin: { l: 56, r: 12, t: 10, b: 44 }, showlegend: false, xaxis: { title: { text: "update" } }, yaxis: { exponentformat: "power", rangemode: "tozero" } }));
    return make("div", {}, make("p", { class: "fine" }, make("strong", {}, name), ` · ${sentences.join(" · ")}`), plot);
  }));
}

/** Four significant digits. */
function exact(number) {
  if (!known(number)) return "–";
  return number !== 0 && Math.abs(number) < 1e-3 ? number.toExponential(3).replace("-", "−") : Number(number.toPrecision(4)).toString();
}
