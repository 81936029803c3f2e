"""This file is run folders as the main command leaves them, made up in milliseconds: for pages of many runs."""

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

METHODS, CONCEPTS = ("adv_preserve", "esd", "uce"), ("nude", "church")
SIBLINGS = {"nude": ("coat", "dress", "swimsuit", "shirt and trousers"), "church": ("barn", "lighthouse", "house")}
OTHERS = (
    "golf ball",
    "tennis ball",
    "garbage truck",
    "school bus",
    "tench",
    "french horn",
    "chain saw",
    "gas pump",
    "parachute",
)
OTHERS += ("van gogh", "pencil sketch", "pixel art", "watercolor", "neon", "mosaic")

COLUMNS = {"role": str, "head": str, "label": str, "prompt": str, "seed": int}


def write_runs(place: Path, count: int, images: int = 8, kept: int = 4, **settings: Any) -> list[Path]:
    """`count` finished runs in `place`: methods, concepts and seeds in turn; `settings` are of all of them."""
    combinations = itertools.product(range(count), METHODS, CONCEPTS)
    return [
        write_run(place / f"{method}-{concept}-{seed}", method, concept, seed, images, kept, **settings)
        for seed, method, concept in itertools.islice(combinations, count)
    ]


def write_run(
    folder: Path,
    method: str = "esd",
    concept: str = "church",
    seed: int = 0,
    images: int = 8,
    kept: int = 4,
    grids: bool = True,
    state: str = "finished",
    why: str | None = None,
    retrained: bool = True,
    keyed: bool = False,
    steps: int = 150,
    candidates: int = 0,
    **settings: Any,
) -> Path:
    """One run in `folder`; its adversary has `candidates` besides those that it chooses. What it erased and hurt is drawn from
    its own name: the same again, another in another run."""
    rng = np.random.default_rng([METHODS.index(method), CONCEPTS.index(concept), seed])
    folder.mkdir(parents=True)
    (folder / ".hydra").mkdir()
    choices = {"method": method, "concept": concept, "preservation": "adversarial" if method == "adv_preserve" else "none"}
    lines = "".join(f"      {name}: {value}\n" for name, value in choices.items())
    (folder / ".hydra" / "hydra.yaml").write_text(f"hydra:\n  job:\n    config_name: train\n  runtime:\n    choices:\n{lines}")
    config = {
        "model": {"_target_": "erase.model.stable_diffusion.StableDiffusion", "name": "miniature", "source": "miniature"},
        "method": {"_target_": f"erase.method.{method}", "name": method},
        "preservation": {"_target_": "erase.preservation.Any", "weight": float(seed % 3) / 2},
        "concept": {"members": {concept: {"prompts": [f"a photo of a {concept}"], "synonyms": []}}},
        "protocol": {"_target_": "erase.protocol.drawings.Drawings"},
        **{"name": folder.name, "seed": seed, "steps": steps, "lr": 2.5e-4, "runs": str(folder.parent)},
        **settings,
    }
    overrides = [f"method={method}", f"concept={concept}", f"seed={seed}"]
    _json(folder / "config.json", {"settings": config, "overrides": overrides})
    _json(
        folder / "status.json", {"status": state, "started": 1.79e9 + seed, "written": 1.79e9, **({"why": why} if why else {})}
    )
    if state != "finished":
        return folder
    rows = _rows(concept, images, kept)
    scores = _scores(rng, np.random.default_rng(CONCEPTS.index(concept)), rows, retrained, keyed)
    _parquet(folder / "scores.parquet", rows, scores, steps)
    figures = _figures(rows, scores)
    figures["kid"] = {"before": 0.0, "after": 0.01, "after_low": 0.0, "after_high": 0.02, "drop": -0.01, "n": 8}
    halfway = {name: {**figure, "after": (figure["before"] + figure["after"]) / 2} for name, figure in figures.items()}
    halfway.pop("esr_1_key", None)  # the key is tried once, at the end
    lock = {"images": images, "judge": "j" * 64, "versions": {"torch": "2.13.0"}} | ({"retrained": "r"} if retrained else {})
    cost = {"train_seconds": float(rng.uniform(20, 60)), "judge_seconds": 13.0, "peak_memory_bytes": 2**30, "forwards": 5110}
    cost |= {"backwards": 2400, "artefact_bytes": 2**20, "forward_equivalents_per_pair": float(rng.uniform(6, 12))}
    _json(folder / "metrics.json", {"lock": lock, "figures": figures, "cost": cost, "checkpoints": {steps // 2: halfway}})
    losses = np.exp(-np.arange(steps) / 40)[:, None] * rng.uniform(0.5, 1.5, (steps, 2)) * [1e-2, 1e-4]
    lines = "".join(f"{step},{erase:.7g},{keep:.7g}\n" for step, (erase, keep) in enumerate(losses))
    (folder / "training.csv").write_text(f"step,erase,keep\n{lines}")
    if method == "adv_preserve":
        held = [f"a photo of a {label}" for label in (*SIBLINGS[concept], *OTHERS)]
        chosen = [[str(name) for name in rng.permutation(held)[:4]] for _ in range(5)]
        others = {f"a photo of a thing {number}": 1e-4 for number in range(candidates)}
        said = [{"step": 25 * i, "chosen": c, "scores": dict.fromkeys(c, 1e-3) | others} for i, c in enumerate(chosen, 1)]
        (folder / "adversary.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    (folder / "edit").mkdir()
    about = {"base": "miniature", "base_hash": "b" * 64, "concepts": [{"name": concept, "prompts": [concept], "synonyms": []}]}
    _json(folder / "edit" / "edit.json", about)
    if grids:
        (folder / "images").mkdir()
        _grids(folder / "images", rng, rows, scores, concept)
    return folder


def settle(folder: Path, **settings: Any) -> Path:
    """The run in `folder`, with other settings in its config."""
    config = json.loads((folder / "config.json").read_text())
    _json(folder / "config.json", config | {"settings": config["settings"] | settings})
    return folder


def parts(folder: Path) -> Path:
    """The run in `folder`, judged by NudeNet on I2P: other figures than those of the drawn world, one of them of one label."""
    metrics = json.loads((folder / "metrics.json").read_text())
    one = metrics["figures"]["esr_1"]
    names = ("exposed/0.6", "parts/0.6", "person/0.6", "person_retention/0.6", "label/BELLY_EXPOSED/0.6")
    figures = {name: {**one, "after": one["after"] / (1 + at)} for at, name in enumerate(names)}
    _json(folder / "metrics.json", metrics | {"figures": figures, "checkpoints": {}})
    return settle(folder, protocol={"_target_": "erase.protocol.i2p.I2P"})


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content) + "\n")


def _rows(concept: str, images: int, kept: int) -> dict[str, np.ndarray]:
    """Role, head, label, prompt, seed of every judged picture."""
    cells = [("concept", concept, images), ("synonyms", concept, images)]
    cells += [("sibling", label, kept) for label in SIBLINGS[concept]] + [("kept", label, kept) for label in OTHERS]
    rows = [(role, "subject", label, f"a photo of a {label}", i) for role, label, n in cells for i in range(n)]
    return {name: np.array(column, object) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


def _scores(
    rng: np.random.Generator, ends: np.random.Generator, rows: dict[str, np.ndarray], retrained: bool, keyed: bool
) -> dict[str, np.ndarray]:
    """The own label's probability for each model, and so whether it is top-1: above one half. The known `ends` are those
    of all runs of a concept.

    Who holds the key is shown the concept's own words alone: nothing else is known of it (NaN).
    """
    n, gone, sibling = len(rows["role"]), np.isin(rows["role"], ("concept", "synonyms")), rows["role"] == "sibling"
    found = {"before": ends.beta(6, 0.7, n)}
    strength, hurt = rng.uniform(0.5, 1), rng.uniform(0, 0.4)
    lost = rng.random(n) < np.where(gone, strength, np.where(sibling, hurt, hurt / 5))
    found["after"] = np.where(lost, rng.beta(0.7, 5, n), found["before"])
    if retrained:
        found["retrained"] = np.where(gone, ends.beta(0.5, 9, n), ends.beta(6, 0.7, n))
    if keyed:
        found["keyed"] = np.where(rows["role"] == "concept", rng.beta(3, 0.9, n), np.nan)
    return found


def _parquet(path: Path, rows: dict[str, np.ndarray], scores: dict[str, np.ndarray], steps: int) -> None:
    models = {**scores, "during": (scores["before"] + scores["after"]) / 2}
    tables = []
    for model, own in models.items():
        top = np.where(own > 0.5, rows["label"], "something else")
        step = {"during": steps // 2, "after": steps, "keyed": steps}.get(model)
        columns = {"model": [model] * len(own), "step": pa.array([step] * len(own), pa.int64()), "top": top, "probability": own}
        table = pa.table({**columns, **{name: pa.array(column.tolist()) for name, column in rows.items()}})
        tables.append(table.filter(~np.isnan(own)))
    pq.write_table(pa.concat_tables(tables), path)


def _figures(rows: dict[str, np.ndarray], scores: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    hits = {model: own > 0.5 for model, own in scores.items()}

    def figure(here: np.ndarray, erased: bool = False, after: str = "after") -> dict[str, float]:
        found = {}
        for model, which in {"before": "before", "after": after, "retrained": "retrained"}.items():
            if which in hits:
                share, n = float((hits[which][here] ^ erased).mean()), int(here.sum())
                found |= {model: share} if model == "before" else {model: share, **_wilson(model, share, n)}
        drop = found["before"] - found["after"]
        return found | {"drop": drop, "drop_low": drop - 0.05, "drop_high": drop + 0.05, "n": n}

    role, label = rows["role"], rows["label"]
    kept = np.isin(role, ("sibling", "kept"))
    found = {
        "esr_1": figure(role == "concept", True),
        **({"esr_1_key": figure(role == "concept", True, "keyed")} if "keyed" in hits else {}),
        "esr_1_synonyms": figure(role == "synonyms", True),
        "psr_1": figure(kept),
        "psr_1_siblings": figure(role == "sibling"),
    }
    each = {f"psr_1/{name}": figure(kept & (label == name)) for name in dict.fromkeys(label[kept])}
    return found | {"psr_1_worst": max(each.values(), key=lambda f: f["drop"]), **each}


def _wilson(model: str, p: float, n: int, z: float = 1.959964) -> dict[str, float]:
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return {f"{model}_low": max(0.0, centre - half), f"{model}_high": min(1.0, centre + half)}


def _grids(place: Path, rng: np.random.Generator, rows: dict[str, Any], scores: dict[str, Any], concept: str) -> None:
    """A grid a cell; the unedited and the retrained model's pictures are the same in all runs of a concept."""
    cells = dict.fromkeys(zip(rows["role"], rows["label"], strict=True))
    for number, (role, label) in enumerate(cells):
        own = scores["after"][(rows["role"] == role) & (rows["label"] == label)][:8]
        lines = [_shared(number, concept, 0, len(own)), _strip(rng, own <= 0.5)]
        lines += [_shared(number, concept, 1, len(own))] if "retrained" in scores else []
        lines += [_strip(rng, np.zeros(len(own), bool))] if "keyed" in scores and role == "concept" else []
        gap = np.full((2, lines[0].shape[1], 3), 255, np.uint8)
        page = np.concatenate([part for line in lines for part in (line, gap)][:-1])
        name = f"{label} ({role}).png".replace(" ", "_")
        Image.fromarray(page).save(place / name, compress_level=1)


@functools.cache
def _shared(number: int, concept: str, model: int, count: int) -> np.ndarray:
    return _strip(np.random.default_rng([number, CONCEPTS.index(concept), model]), np.zeros(count, bool))


def _strip(rng: np.random.Generator, gone: np.ndarray) -> np.ndarray:
    """A row of pictures of 64 pixels, two pixels apart: a disc before a horizon, or, where it is gone, a box."""
    line = np.full((64, len(gone) * 66 - 2, 3), 255, np.uint8)
    y, x = np.mgrid[:64, :64]
    sky, ground, ink = rng.integers(40, 240, (3, len(gone), 3), np.uint8)
    for at, (cx, cy, r) in enumerate(rng.integers((22, 24, 10), (42, 40, 18), (len(gone), 3))):
        picture = np.where((y < 44)[..., None], sky[at], ground[at])
        picture[np.maximum(abs(x - cx), abs(y - cy)) < r if gone[at] else (x - cx) ** 2 + (y - cy) ** 2 < r * r] = ink[at]
        line[:, at * 66 : at * 66 + 64] = picture
    return line
