"""This file is where a pipeline comes from: a folder, a single file, or the hub; and what to do when it is not there."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError, safe_open

from erase.errors import BadInput
from erase.model import hub


def load(
    kind: type[DiffusionPipeline], source: str, revision: str | None, config: str | None, pickled: bool, **parts: Any
) -> DiffusionPipeline:
    """The pipeline of `kind` at `source`, fp32 on the CPU; `parts` stand in the place of its own.

    A single file holds weights alone: tokenizers, sizes and schedule come from `config`, a folder or hub id. Weights that
    only `pickle` reads are refused unless `pickled` allows them. BadInput says what is missing and how to get it.
    """
    path, safe = Path(source).expanduser(), None if pickled else True
    parts["dtype"] = torch.float32  # else transformers takes what the weights were saved in
    if path.is_dir():
        if not pickled and (file := _pickled(path, parts)):
            raise BadInput(_refusal(source, file.relative_to(path)))
        return _made(kind.from_pretrained, source, path, local_files_only=True, use_safetensors=safe, **parts)
    if path.is_file():
        if path.suffix != ".safetensors" and not pickled:
            raise BadInput(_refusal(source, path.name))
        if config is None:
            raise BadInput("model.config=null, but a single file holds weights alone: model.config=<a folder of the family>.")
        here = Path(config).expanduser()
        local = here.is_dir() or not hub.answers(config, None, "model.config")
        at = {"config": str(here) if here.is_dir() else config, "local_files_only": local}
        return _made(kind.from_single_file, source, path, **at, **parts)
    if not hub.names(source):
        raise BadInput(f"model.source={source} is not a folder, a file, or the name of a model on the hub (who/what).")
    local = not hub.answers(source, revision, "model.source")
    return _made(kind.from_pretrained, source, source, revision=revision, local_files_only=local, use_safetensors=safe, **parts)


def holds_a_model(file: Path) -> bool:
    """Whether a safetensors `file` holds a whole model, in the layout of Stable Diffusion as it was released."""
    try:
        with safe_open(file, "pt") as opened:
            return any(name.startswith("model.diffusion_model.") for name in opened.keys())  # noqa: SIM118
    except SafetensorError:
        return False


def _made(make: Any, source: str, at: str | Path, **given: Any) -> DiffusionPipeline:
    try:
        found: DiffusionPipeline = make(at, **given)
    except Exception as e:  # of many kinds: OSError, ValueError, KeyError, RuntimeError, those of safetensors and of pickle
        name, safe = make.__self__.__name__, given.get("use_safetensors") and "safetensors" in str(e)
        trust = " (model.pickled=true reads pickled weights, which run whatever their maker put there)" if safe else ""
        raise BadInput(f"model.source={source} does not load as a {name}: {_first(e)}{trust}") from e
    return found


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _pickled(folder: Path, parts: dict[str, Any]) -> Path | None:
    """Weights in a pipeline's `folder` that only pickle reads; those of `parts`, and what no part is, are not read."""
    index = folder / "model_index.json"
    read = {*json.loads(index.read_text())} - {*parts} if index.is_file() else set()
    files = [f for f in sorted(folder.glob("*/*")) if f.suffix in (".bin", ".ckpt", ".pt", ".pth") and f.parent.name in read]
    safe = {f.parent for f in folder.glob("*/*.safetensors") if f.name.split(".")[0] == f.name.removesuffix(".safetensors")}
    return next((f for f in files if f.parent not in safe), None)


def _refusal(source: str, file: str | Path) -> str:
    return (
        f"model.source={source}: {file} is pickled, and reading it runs whatever its maker put there: take safetensors, or "
        "model.pickled=true if you trust it."
    )
