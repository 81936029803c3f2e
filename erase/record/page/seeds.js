// This file is runs that differ in nothing but the seed, a row for all of them: which system it is that does well.

/** Things by what `key` says of each, as text. */
const grouped = (things, key) => [...Map.groupBy(things, (one) => JSON.stringify(key(one))).values()];

/** Finished runs by all that they differ in but the seed. A field that some of them lack, which came with a later version, tells
 * none apart. */
function pools(runs) {
  const finished = runs.filter((run) => run.state === "finished" && Object.keys(run.figures).length);
  const groups = Object.keys(finished[0]?.chosen ?? {}).filter((name) => finished.every((run) => name in run.chosen));
  return grouped(finished, (run) => [run.concepts, groups.map((name) => run.chosen[name])]).flatMap((alike) => {
    const names = DATA.differing.filter((name) => name !== "seed" && alike.every((run) => value(run, name) !== undefined));
    return grouped(alike, (run) => names.map((name) => said(value(run, name))));
  });
}

/** The mean of what runs reach in a measure, the least and the most; nothing where one of them lacks it. */
function over(runs, key, digits) {
  const values = runs.map((run) => measure(run, key)?.at).filter(known);
  if (values.length < runs.length) return "";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  return [plain(mean, digits), low < high ? make("span", { class: "fine" }, `${plain(low, digits)} – ${plain(high, digits)}`) : ""];
}

/** Concept by concept, that of most runs first; who erased most first, of those alike who kept most of the siblings. */
function renderSeeds(place, runs) {
  const all = pools(runs);
  place.hidden = !all.some((pool) => pool.length > 1);
  if (place.hidden) return replace(place);
  const others = DATA.differing.filter((name) => !["seed", "concept"].includes(name) && new Set(all.map(([run]) => said(value(run, name)))).size > 1);
  const names = others.length ? others.slice(0, 3) : ["method"];
  const keys = [...MEASURES].filter(([key, one]) => (one.first || key === "forward_equivalents_per_pair") && key !== "psr_1_worst" && runs.some((run) => known(measure(run, key)?.at)));
  const rank = (pool, key) => pool.reduce((sum, run) => sum + (measure(run, key)?.at ?? 0), 0) / pool.length;
  const better = (a, b) => ["esr_1", "psr_1_siblings", "psr_1"].map((key) => rank(b, key) - rank(a, key)).find((one) => Math.abs(one) > 1e-9) ?? 0;
  const row = (pool) => [names.map((name) => said(value(pool[0], name)) || "–").join(" · "), String(pool.length),
    ...keys.map(([key, { digits }]) => over(pool, key, digits)), runLink(pool[0])];
  const heads = [[names.join(" · "), "text long"], ["runs"], ...keys.map(([, { words }]) => [words]), ["first of them", "text"]];
  const concepts = grouped(all, ([run]) => value(run, "concept")).sort((a, b) => b.flat().length - a.flat().length);
  const table = tableOf(heads, []);
  table.tBodies[0].remove();
  for (const own of concepts) {
    const [body] = tableOf(heads, own.sort(better).map(row)).tBodies;
    if (concepts.length > 1) body.prepend(make("tr", {}, make("th", { scope: "rowgroup", colspan: heads.length, class: "text" }, value(own[0][0], "concept"))));
    table.append(body);
  }
  replace(place, make("h2", { tabindex: -1 }, "Over seeds"),
    make("p", {}, "Runs of the table that differ in nothing but the seed, as one row: the mean, the least and the most. F-equivalents do not depend on what else the machine did; seconds do."),
    boxed(table, "runs that differ in nothing but the seed", "tall"));
}
