"""This file is the choice among the text encoder's layers, by their numbers."""

import re
from collections.abc import Iterable

from torch import Tensor

from erase.errors import BadInput
from erase.model.text_to_image import TextToImage
from erase.parameters import Select

PARTS = {"all": "", "attention": r"self_attn\.", "mlp": r"mlp\."}
"""What of a layer may change, as its weights' names go on."""


class TextEncoder:
    """The first `layers` of the text encoder, or the `part` of each: AdvUnlearn (Zhang et al. 2024, arXiv 2405.15234). Of
    several encoders, those of each.

    All layers whole take the final norm with them; embeddings of tokens and places never move. A number is a number: in the
    released code layers 10 and 11 begin with a 1, and move with layer 1.
    """

    def __init__(self, layers: int | None = None, part: str = "all") -> None:
        if layers is not None and layers < 1:
            raise BadInput(f"parameters.layers={layers} must be at least 1.")
        if part not in PARTS:
            raise BadInput(f"parameters.part={part} is not one of: {', '.join(PARTS)}.")
        self.layers, self.part = layers, part

    def select(self, known: Iterable[str]) -> Select:
        """The choice among the names `known`; BadInput where there are not as many layers."""
        known = list(known)
        found = [re.match(r"text_encoder(_\d)?\..*?\blayers\.(\d+)\.", name) for name in known]
        count = 1 + max((int(m[2]) for m in found if m), default=-1)
        if (self.layers or 1) > count:
            raise BadInput(f"parameters.layers={self.layers} is more than the text encoder has: {count}.")
        numbers = "|".join(map(str, range(self.layers or count)))
        whole = self.layers is None and self.part == "all"
        norm = r"|text_encoder(_\d)?\..*\bfinal_layer_norm\." if whole else ""
        return Select(rf"^(text_encoder(_\d)?\..*\blayers\.({numbers})\.{PARTS[self.part]}{norm})")

    def prepare(self, model: TextToImage, seed: int) -> None:
        self._chosen = self.select(name for name, _ in model.named_parameters())
        self._chosen.prepare(model, seed)

    def fold(self, model: TextToImage) -> dict[str, Tensor]:
        return self._chosen.fold(model)

    def unload(self, model: TextToImage) -> None:
        self._chosen.unload(model)
