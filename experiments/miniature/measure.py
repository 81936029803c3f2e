"""Measure the miniature, its judge and its retrained twins, and write docs/miniature.md's figures and pictures.

    python experiments/miniature/measure.py

Needs `pip install -e '.[studies]'`; about ten minutes on two cores.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix
from tqdm import tqdm

from erase.judge.drawings import Drawings as Judge
from erase.metric import Share
from erase.miniature import painters, world
from erase.miniature.training import IGNORED, Drawings, spoil
from erase.model.stable_diffusion import StableDiffusion
from erase.record.study import fill

DOCS = Path(__file__).parents[2] / "docs"
STEPS, GUIDANCE, CHUNK = 10, 4.0, 32  # as protocol=quick samples


def share(hits: Tensor) -> str:
    """A share and Wilson's 95 % interval."""
    metric = Share()
    metric.update(hits)
    found, low, high = metric.compute()
    return f"{found:.3f} ({low:.3f} … {high:.3f})"


def draw(model: StableDiffusion, prompts: Sequence[str], seed: int, what: str, edited: bool = True) -> Tensor:
    """Pictures (prompts, 3, 64, 64) uint8, seeds from `seed` on; `edited=False` are a twin's, within `as_if`."""
    parts = []
    for at in tqdm(range(0, len(prompts), CHUNK), what, unit="batch"):
        some = prompts[at : at + CHUNK]
        parts.append(model.images(some, range(seed + at, seed + at + len(some)), STEPS, GUIDANCE, edited))
    return torch.cat(parts)


def named(judge: Judge, images: Tensor, head: str) -> list[str]:
    """The judge's top label for every picture."""
    chunks = [judge.probabilities(chunk)[head].argmax(-1) for chunk in images.split(128)]
    return [judge.labels[head][i] for i in torch.cat(chunks)]


def families(model: StableDiffusion) -> None:
    """docs/families.png: of every member one drawing and three pictures by the miniature."""
    rows: dict[str, list[world.Subject]] = {}
    for s in world.SUBJECTS.values():
        rows.setdefault(s.family, []).append(s)
    subjects = [s for members in rows.values() for s in members]
    asked = [f"a photo of {world.describe(s.name, s.name)}" for s in subjects for _ in range(3)]
    made = iter(draw(model, asked, 50_000, "families").split(3))
    edge, gap, head = world.SIZE, 4, 13
    cell = 4 * (edge + 1) + gap
    page = Image.new("RGB", (4 * cell, (len(rows) + 1) * (edge + head + gap)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for i, s in enumerate(subjects):
        people = max(0, i - sum(len(m) for f, m in rows.items() if f != "outfits"))
        row, column = (len(rows) - 1 + people // 4, people % 4) if s.family == "outfits" else divmod(i, 4)
        x, y = column * cell, row * (edge + head + gap)
        pen.text((x + 1, y), s.name, "black", font)
        scene = world.Scene(s.name, (s.natural or ("red",))[0], "park", world.PLAIN, "woman", 7 + i)
        pictures = [painters.picture(scene), *(p.permute(1, 2, 0).numpy() for p in next(made))]
        for k, picture in enumerate(pictures):
            page.paste(Image.fromarray(picture), (x + k * (edge + 1), y + head))
    page.save(DOCS / "families.png")


def subjects(model: StableDiffusion, judge: Judge, count: int) -> list[str]:
    """How often the unedited miniature draws what it is asked for."""
    lines, worst = [], []
    asked = [(s, f"a photo of {world.describe(s, s)}") for s in world.SUBJECTS for _ in range(count)]
    said = named(judge, draw(model, [p for _, p in asked], 10_000, "subjects"), "subject")
    hits = torch.tensor([a == b for (a, _), b in zip(asked, said, strict=True)])
    each = hits.view(-1, count).float().mean(1)
    worst = [f"{s} {float(v):.2f}" for v, s in sorted(zip(each, world.SUBJECTS, strict=True), key=lambda p: float(p[0]))[:5]]
    lines.append(f"| subjects and outfits, {count} pictures each | {share(hits)} |")
    lines.append(f"| the five lowest of them | {', '.join(worst)} |")
    styles = [s for s in world.STYLES.values() if s.name != world.PLAIN]
    ask = [(s.name, t.format(world.describe(n, n))) for s in styles for t in s.templates for n in world.SUBJECTS if n != "nude"]
    ask = ask[:: max(1, len(ask) // (6 * count))]
    said = named(judge, draw(model, [p for _, p in ask], 20_000, "styles"), "style")
    lines.append(f"| styles | {share(torch.tensor([a == b for (a, _), b in zip(ask, said, strict=True)]))} |")
    return lines


def combinations(model: StableDiffusion, judge: Judge, count: int) -> list[str]:
    """Combinations of subject, colour and style that no training picture showed, beside as many that some did."""
    every = [c for c in product(world.SUBJECTS, world.COLOURS, world.STYLES) if c[0] != "nude" and world.STYLES[c[2]].colours]
    out = [c for c in every if world.held_out(*c)]
    seen = [c for c in every if not world.held_out(*c) and c[1] not in world.SUBJECTS[c[0]].natural]
    rng = np.random.default_rng(0)
    seen = [seen[i] for i in rng.choice(len(seen), len(out), replace=False)]
    lines = []
    for words, chosen, seed in (("held out", out, 30_000), ("seen", seen, 40_000)):
        asked = [(c, world.STYLES[c[2]].templates[0].format(world.describe(c[0], c[0], c[1]))) for c in chosen] * count
        images = draw(model, [p for _, p in asked], seed, f"combinations {words}")
        said = zip(*(named(judge, images, head) for head in ("subject", "colour", "style")), strict=True)
        right = torch.tensor([[a == b for a, b in zip(c, s, strict=True)] for (c, _), s in zip(asked, said, strict=True)])
        parts = ", ".join(f"{n} {float(right[:, i].float().mean()):.3f}" for i, n in enumerate(("subject", "colour", "style")))
        lines.append(f"| {len(chosen)} combinations {words}: all three right | {share(right.all(1))} |")
        lines.append(f"| of these alone | {parts} |")
    return lines


def truths(model: StableDiffusion, judge: Judge, count: int) -> list[str]:
    """What each network that was trained without a subject draws when asked for it, and for all others; docs/truth.png."""
    lines, strips = [], []
    for path in sorted(model.truth_folder.glob("*.safetensors")):
        left_out = path.stem.replace("_", " ")
        twin = model.retrained([left_out])
        assert twin is not None, path
        subject = world.SUBJECTS[left_out]
        names = (subject.name, *subject.synonyms, *subject.held_out)
        own = [f"a photo of {world.describe(left_out, n)}" for n in names for _ in range(max(1, 2 * count // len(names)))]
        rest = [(s, f"a photo of {world.describe(s, s)}") for s in world.SUBJECTS if s != left_out for _ in range(count // 4)]
        ends = {"unedited": draw(model, own, 60_000, f"{left_out}, unedited")}
        with model.as_if(twin):
            ends["retrained"] = draw(model, own, 60_000, f"{left_out}, retrained", edited=False)
            others = named(judge, draw(model, [p for _, p in rest], 70_000, f"all but {left_out}", edited=False), "subject")
        said = {end: named(judge, images, "subject") for end, images in ends.items()}
        hits = {end: share(torch.tensor([label == left_out for label in labels])) for end, labels in said.items()}
        instead = Counter(label for label in said["retrained"] if label != left_out).most_common(4)
        lines.append(f"| {left_out}, by all its names: named so, unedited | {hits['unedited']} |")
        lines.append(f"| named so, trained without it | {hits['retrained']} |")
        lines.append(f"| named instead | {', '.join(f'{label} {n / len(own):.2f}' for label, n in instead)} |")
        kept = share(torch.tensor([a == b for (a, _), b in zip(rest, others, strict=True)]))
        lines.append(f"| all other subjects and outfits, trained without it | {kept} |")
        strips += [torch.cat([*images[:: len(own) // 10][:10].permute(0, 2, 3, 1)], 1) for images in ends.values()]
    Image.fromarray(torch.cat(strips).numpy()).resize((1280, 128 * len(strips)), Image.Resampling.NEAREST).save(
        DOCS / "truth.png"
    )
    return lines


def judged(judge: Judge, count: int) -> list[str]:
    """Accuracy, confusion and calibration of the judge on drawings that it never saw."""
    work = Path(__file__).parents[2] / "work" / "measure"
    drawings = Drawings(work, 777, count)
    targets, network = drawings.labels(), judge.classifier
    rng, lines = torch.Generator().manual_seed(1), []
    logits: dict[str, dict[str, Tensor]] = {}
    for kind in ("clean", "spoilt"):
        parts = []
        for rows in torch.arange(count).split(128):
            images = drawings.tensor(rows)
            with torch.no_grad():
                parts.append(network.logits(spoil(images, rng) if kind == "spoilt" else images))
        logits[kind] = {head: torch.cat([p[head] for p in parts]) for head in targets}
        for head, labels in targets.items():
            known = labels != IGNORED
            hits = logits[kind][head].argmax(-1)[known] == labels[known]
            lines.append(f"| {head}, {kind} drawings | {share(hits)} |")
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    for axis, (head, labels) in zip(axes, targets.items(), strict=True):
        known, classes = labels != IGNORED, len(judge.labels[head])
        raw = logits["spoilt"][head][known]
        calibrated = raw / network.temperatures[head]
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        error = {}
        for name, values in (("as trained", raw), ("calibrated", calibrated)):
            sure, top = values.softmax(-1).max(-1)
            right = (top == labels[known]).float()
            bins = (sure * 15).clamp(max=14.99).long()
            points = [(float(sure[bins == b].mean()), float(right[bins == b].mean())) for b in bins.unique()]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
            error[name] = float(multiclass_calibration_error(values.softmax(-1), labels[known], classes, 15))
        axis.set(
            title=head, xlabel="probability of the top label", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02)
        )
        axis.legend()
        lines.append(
            f"| {head}: expected calibration error, T = {network.temperatures[head]:.2f} "
            f"| {error['as trained']:.4f} as trained, {error['calibrated']:.4f} calibrated |"
        )
    figure.savefig(DOCS / "calibration.png", dpi=110)
    labels, classes = targets["subject"], len(world.LABELS)
    matrix = multiclass_confusion_matrix(logits["spoilt"]["subject"].argmax(-1), labels, classes, normalize="true").numpy()
    figure, axis = plt.subplots(figsize=(10, 9), layout="constrained")
    axis.imshow(np.sqrt(matrix), cmap="magma_r", vmin=0, vmax=1)
    axis.set_xticks(range(classes), world.LABELS, rotation=90, fontsize=7)
    axis.set_yticks(range(classes), world.LABELS, fontsize=7)
    axis.set(xlabel="what the judge says", ylabel="what is drawn", title="shares of each row; colour by their square root")
    for i, k in zip(*np.nonzero(matrix >= 0.005), strict=True):
        axis.text(
            k,
            i,
            f"{100 * matrix[i, k]:.0f}",
            ha="center",
            va="center",
            fontsize=5,
            color="white" if matrix[i, k] > 0.3 else "black",
        )
    figure.savefig(DOCS / "confusion.png", dpi=110)
    worst = sorted(((matrix[i, k], i, k) for i in range(classes) for k in range(classes) if i != k), reverse=True)[:5]
    said = ", ".join(f"{world.LABELS[i]} as {world.LABELS[k]} {v:.3f}" for v, i, k in worst)
    return [*lines, f"| most confused, spoilt | {said} |"]


def write(name: str, lines: Sequence[str]) -> None:
    """Put a table between the markers of `name` in docs/miniature.md."""
    page = DOCS / "miniature.md"
    table = "\n".join(["", "| | |", "|---|---|", *lines, ""])
    page.write_text(fill(page.read_text(), name, table))


def main() -> None:
    """All of it, or the named parts."""
    parts = {"families": "", "judge": "", "miniature": "", "combinations": "", "truth": ""}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[*parts], help=", ".join(parts))
    parser.add_argument("--images", type=int, default=32, help="pictures of every subject")
    asked = parser.parse_args()
    model, judge = StableDiffusion("miniature", vocabulary="miniature"), Judge()
    if "families" in asked.parts:
        families(model)
    if "judge" in asked.parts:
        write("judge", judged(judge, 5000))
    if "miniature" in asked.parts:
        write("miniature", subjects(model, judge, asked.images))
    if "combinations" in asked.parts:
        write("combinations", combinations(model, judge, max(1, asked.images // 8)))
    if "truth" in asked.parts:
        write("truth", truths(model, judge, asked.images))


if __name__ == "__main__":
    main()
