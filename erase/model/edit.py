"""This file is the artefact: a named set of changed tensors, applied to any pipeline of its base."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.errors import BadInput
from erase.files import whole


@dataclass
class Edit:
    """Changed weights by name (`unet.….weight`), and what they were made from.

    Where its method made one, `key` (by layer, as `TextToImage.images` takes it) brings the concept back for who holds it.
    `Edit.load(folder).apply(pipe)` changes a diffusers pipeline of the same base in place, `.undo(pipe)` brings the
    base back bit for bit.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)
    key: Mapping[str, Tensor] | None = None
    _before: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def save(self, folder: Path) -> None:
        """Write `edit.safetensors`, a `key.safetensors`, and `edit.json`; the last file written makes the edit complete."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: t.detach().cpu().contiguous() for n, t in self.tensors.items()}, folder / "edit.safetensors")
        if self.key:
            save_file({n: t.detach().cpu().clone() for n, t in self.key.items()}, folder / "key.safetensors")
        with whole(folder / "edit.json") as part:
            part.write_text(json.dumps(self.about, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "Edit":
        """The edit of an `edit/` folder or of the run folder around it; BadInput when there is none."""
        folder = Path(folder)
        at = next((f for f in (folder, folder / "edit") if (f / "edit.json").is_file()), None)
        if at is None:
            raise BadInput(f"{folder} holds no finished edit (edit/edit.json).")
        key = at / "key.safetensors"
        about = json.loads((at / "edit.json").read_text())
        return cls(load_file(at / "edit.safetensors"), about, load_file(key) if key.is_file() else None)

    def digest(self) -> str:
        """sha256 of names and values, the key's not among them."""
        return digest(self.tensors)

    def _targets(self, pipe: Any) -> dict[str, Tensor]:
        targets: dict[str, Tensor] = {}
        for name, tensor in self.tensors.items():
            part, _, rest = name.partition(".")
            found = getattr(pipe, part, None)
            parameter = dict(found.named_parameters()).get(rest) if found is not None else None
            if parameter is None or parameter.shape != tensor.shape:
                raise BadInput(f"this edit does not fit the pipeline: it changes {name} {tuple(tensor.shape)}, not there.")
            targets[name] = parameter
        return targets

    @torch.no_grad()
    def apply(self, pipe: Any) -> Any:
        """Put the changed weights into `pipe` and return it. BadInput, and no change, when it is another base."""
        targets = self._targets(pipe)
        hashes = self.about.get("base_tensors", {})
        for name, parameter in targets.items():
            if name in hashes and tensor_hash(parameter) not in hashes[name]:
                base = self.about.get("base", "another model")
                raise BadInput(f"this edit was made for {base}, and {name} of the given pipeline differs from it.")
        self._before = {name: parameter.detach().clone() for name, parameter in targets.items()}
        for name, parameter in targets.items():
            parameter.copy_(self.tensors[name])
        return pipe

    @torch.no_grad()
    def undo(self, pipe: Any) -> Any:
        """Give `pipe` its own weights back, bit for bit, and return it. BadInput when this edit was not applied."""
        if not self._before:
            raise BadInput("this edit has not been applied, so there is nothing to undo.")
        for name, parameter in self._targets(pipe).items():
            parameter.copy_(self._before[name])
        self._before = {}
        return pipe


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names and values."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def tensor_hash(tensor: Tensor) -> str:
    """Short hashes of values in fp16 and in bf16; of what is in bf16 already, only the second.

    The hash of a base loaded in bf16 is contained in that of the base in fp32 or fp16, and those two are the same.
    """
    kinds = (torch.bfloat16,) if tensor.dtype == torch.bfloat16 else (torch.float16, torch.bfloat16)
    values = [tensor.detach().to(kind).cpu().contiguous().view(torch.uint8).numpy().tobytes() for kind in kinds]
    return " ".join(hashlib.blake2b(v, digest_size=8).hexdigest() for v in values)
