"""This file is what the unedited text encoder makes of many prompts: made once for all runs that share a cache."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from erase.cache import once, told
from erase.model.text_to_image import Conditioning, TextToImage


def features(model: TextToImage, prompts: Sequence[str], rows: int = 64) -> Tensor:
    """`text_features` of whole prompts, of length 1, (prompts, width) fp32 on the CPU; `rows` at once."""
    return _shared(model, "features", prompts, rows, lambda part: normalize(model.text_features(part), dim=-1))


def states(model: TextToImage, prompts: Sequence[str], rows: int = 64) -> Conditioning:
    """What the unedited network hears of each of `prompts`, on the model's device; `rows` at once."""
    heard = _shared(model, "states", prompts, rows, lambda part: model.prompt(part, edited=False).sequence)
    return Conditioning(heard.to(model.device))


def _shared(
    model: TextToImage, what: str, prompts: Sequence[str], rows: int, make: Callable[[Sequence[str]], Tensor]
) -> Tensor:
    def all_of_them() -> dict[str, Tensor]:
        return {what: torch.cat([make(prompts[i : i + rows]).cpu() for i in range(0, len(prompts), rows)])}

    if not model.shared:
        return all_of_them()[what]
    # alike to the last bit: how many go at once decides how sums are rounded
    asked = {"what": what, "rows": rows, "ids": model.tokenize(prompts).tolist(), **model.depends_on}
    return once(model.shared / f"{told(asked)}.safetensors", all_of_them)[what]
