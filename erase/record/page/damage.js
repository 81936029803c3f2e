// This file is what all shown runs did together: the damage to each label, and the runs that came to nothing.

/** Labels with the mean of their drops over `runs`, most hurt first, before all those that some run surely hurt; of each the run
 * that hurt it most, of how many pictures, and who held it. */
function damaged(runs) {
  const found = new Map();
  for (const run of runs) {
    for (const { label, figure: one } of labels(run)) {
      const entry = found.get(label) ?? { label, sum: 0, n: 0, hurt: 0, most: null, held: 0, pictures: new Set() };
      entry.sum += one.drop;
      entry.n += 1;
      entry.hurt += one.drop_low > 0;
      if (!entry.most || one.drop > entry.most.drop) entry.most = { run, drop: one.drop };
      entry.pictures.add(one.n);
      entry.held += timesChosen(run, label) > 0;
      found.set(label, entry);
    }
  }
  return [...found.values()].sort((a, b) => (b.hurt > 0) - (a.hurt > 0) || b.sum / b.n - a.sum / a.n);
}

/** How often each prompt was held over `runs`, by any of their choices. */
function heldOften(runs) {
  const times = new Map();
  for (const run of runs) for (const prompt of new Set(run.choices.flatMap((choice) => choice.chosen))) times.set(prompt, (times.get(prompt) ?? 0) + 1);
  return [...times].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

function renderDamage(place, runs) {
  const list = damaged(runs);
  place.hidden = !list.length;
  const choosing = runs.filter((run) => run.choices.length);
  const points = (drop) => change(-100 * drop, 1);
  const counts = (pictures) => [...new Set([Math.min(...pictures), Math.max(...pictures)])].join(" – ");
  const most = ({ most: { drop, run } }) => (drop > 0 ? [points(drop), runLink(run)] : ["", ""]);
  const rows = list.map((one) => [one.label, points(one.sum / one.n), `${one.hurt} of ${one.n}`, counts(one.pictures), ...most(one), ...(choosing.length ? [`${one.held} of ${choosing.length}`] : [])]);
  const often = heldOften(choosing);
  place.replaceChildren(...[
    make("h2", { tabindex: -1 }, "What was hurt"),
    make("p", {}, "Kept labels over all runs shown in the table, most hurt first: the mean change of the share of pictures that show them, in points; in how many runs the interval of the change leaves out nought (those of none stand last: few pictures cannot tell); how many pictures of it a run was judged by; the run that hurt them most.", choosing.length ? " Held: runs in which the preservation held a prompt that names the label." : ""),
    boxed(tableOf([["label", "text"], ["mean change, points"], ["hurt in runs"], ["pictures"], ["most, points"], ["by", "text"], ...(choosing.length ? [["held in runs"]] : [])], rows), "damage by label over runs", rows.length > 12 ? "tall" : ""),
    often.length ? make("details", {}, make("summary", {}, `what adversaries and other preservations held, in ${choosing.length} runs`),
      boxed(tableOf([["prompt", "text"], ["runs"]], often.map(([prompt, times]) => [prompt, String(times)])), "what was held in how many runs")) : null,
  ].filter(Boolean));
}

function renderFailed(place, runs) {
  const failed = runs.filter((run) => run.state !== "finished");
  place.hidden = !failed.length;
  const rows = failed.map((run) => [run.state === "refused" ? run.name : runLink(run), run.state, run.why || (run.state === "working" ? "it still works" : "")]);
  place.replaceChildren(make("h2", { tabindex: -1 }, "What did not finish"),
    boxed(tableOf([["run", "text long"], ["state", "text"], ["reason", "text long"]], rows), "runs that did not finish"));
}
