"""This file is the truth that an erasure is held against: the same network, trained again without the concept."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from erase.errors import BadInput
from erase.model.edit import Edit


@dataclass(frozen=True)
class Retrained:
    """A denoising network trained as its base was, from nothing, with every picture of `left_out` left out.

    What an erasure tries to be without the training: it does not know the concept, and lost nothing else to that. It
    hears the base's text encoder and draws through its autoencoder.
    """

    left_out: str  # the judge's label
    path: Path  # safetensors: a state of the denoising network under its own names
    digest: str  # sha256 of names and values, as an edit's

    @classmethod
    def find(cls, folder: Path, labels: Collection[str | None], base: str) -> "Retrained | None":
        """The network in `folder` that was trained without `labels`, and nothing else, beside the model of hash `base`.

        Metadata decide: `left_out` names the label and `base` the model. A network that stands beside other weights (the
        model was trained again, and it was not) is another world's truth: a warning says so, and it is not taken.
        BadInput for a file that is no safetensors.
        """
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    about = file.metadata() or {}
            except SafetensorError as e:
                raise BadInput(f"model.retrained: {path} cannot be read as safetensors ({e}).") from e
            if "left_out" not in about or {about["left_out"]} != {*labels}:
                continue
            if about.get("base") == base:
                return cls(about["left_out"], path, Edit(load_file(path)).digest())
            warnings.warn(f"{path} was trained beside another model than this one: nothing is held against it.", stacklevel=2)
        return None

    def load(self) -> dict[str, Tensor]:
        """The weights by the denoising network's own names, on the CPU, as stored."""
        return load_file(self.path)
