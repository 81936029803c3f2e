"""This file is what the unedited text encoder makes of many prompts: made once for all runs that share a cache."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from erase.cache import once, told
from erase.model.text_to_image import Conditioning, TextToImage


def features(model: TextToImage, prompts: Sequence[str], rows: int = 64) -> Tensor:
    """`text_features` of whole prompts, of length 1, (prompts, width) fp32 on the CPU; `rows` at once."""

    def of(part: Sequence[str]) -> dict[str, Tensor]:
        return {"features": normalize(model.text_features(part), dim=-1)}

    return _shared(model, "features", prompts, rows, of)["features"]


def states(model: TextToImage, prompts: Sequence[str], rows: int = 64) -> Conditioning:
    """What the unedited network hears of each of `prompts`, on the model's device; `rows` at once."""

    def heard(part: Sequence[str]) -> dict[str, Tensor]:
        found = model.prompt(part, edited=False)
        return {"states": found.sequence} | ({} if found.pooled is None else {"pooled": found.pooled})

    said = {name: tensor.to(model.device) for name, tensor in _shared(model, "states", prompts, rows, heard).items()}
    return Conditioning(said["states"], pooled=said.get("pooled"))


def _shared(
    model: TextToImage, what: str, prompts: Sequence[str], rows: int, make: Callable[[Sequence[str]], dict[str, Tensor]]
) -> dict[str, Tensor]:
    def all_of_them() -> dict[str, Tensor]:
        parts = [make(prompts[i : i + rows]) for i in range(0, len(prompts), rows)]
        return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

    if not model.shared:
        return all_of_them()
    # alike to the last bit: how many go at once decides how sums are rounded
    asked = {"what": what, "rows": rows, "ids": model.tokenize(prompts).tolist(), **model.depends_on}
    return once(model.shared / f"{told(asked)}.safetensors", all_of_them)
