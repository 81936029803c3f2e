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

/** Who erased most stands first, of those alike who kept most of the siblings. */
function renderSeeds(place, runs) {
  const all = pools(runs);
  place.hidden = !all.some((pool) => pool.length > 1);
  if (place.hidden) return replace(place);
  const names = DATA.differing.filter((name) => name !== "seed" && new Set(all.map(([run]) => said(value(run, name)))).size > 1).slice(0, 3);
  const keys = [...MEASURES].filter(([key, one]) => (one.first || key === "forward_equivalents_per_pair") && key !== "psr_1_worst" && runs.some((run) => known(measure(run, key)?.at)));
  const rank = (pool, key) => pool.reduce((sum, run) => sum + (measure(run, key)?.at ?? 0), 0) / pool.length;
  all.sort((a, b) => ["esr_1", "psr_1_siblings", "psr_1"].map((key) => rank(b, key) - rank(a, key)).find((one) => Math.abs(one) > 1e-9) ?? 0);
  const rows = all.map((pool) => [(names.length ? names : ["concept"]).map((name) => said(value(pool[0], name)) || "–").join(" · "), String(pool.length),
    ...keys.map(([key, { digits }]) => over(pool, key, digits)), runLink(pool[0])]);
  replace(place, make("h2", { tabindex: -1 }, "Over seeds"),
    make("p", {}, "Runs of the table that differ in nothing but the seed, as one row: the mean, the least and the most. F-equivalents do not depend on what else the machine did; seconds do."),
    boxed(tableOf([[names.join(" · ") || "concept", "text long"], ["runs"], ...keys.map(([, { words }]) => [words]), ["first of them", "text"]], rows), "runs that differ in nothing but the seed", "tall"));
}
