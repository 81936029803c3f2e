"""This file is the artefact: a named set of changed tensors, applied to any pipeline of its base."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.errors import BadInput
from erase.files import whole
from erase.model.ledger import Ledger, tensor_hash


@dataclass
class Edit:
    """Changed weights by name (`unet.….weight`), and what they were made from.

    Where its method made one, `key` (by layer, as `TextToImage.images` takes it) brings the concept back for who holds it.
    `Edit.load(folder).apply(pipe)` changes a diffusers pipeline of the same base in place, `.undo(pipe)` brings the
    base back bit for bit. Several edits stand in one pipeline together: see `Ledger`.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any] = field(default_factory=dict)
    key: Mapping[str, Tensor] | None = None

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
        return cls.read(at / "edit.safetensors")

    @classmethod
    def read(cls, file: str | Path) -> "Edit":
        """The edit whose tensors are in `file`, with `edit.json` and `key.safetensors` where these lie beside it."""
        about, key = (Path(file).with_name(name) for name in ("edit.json", "key.safetensors"))
        told = json.loads(about.read_text()) if about.is_file() else {}
        try:
            return cls(load_file(file), told, load_file(key) if key.is_file() else None)
        except SafetensorError as e:
            raise BadInput(f"{file} does not read as safetensors: {e}.") from e

    def digest(self) -> str:
        """sha256 of names and values, the key's not among them."""
        return digest(self.tensors)

    def apply(self, pipe: Any) -> Any:
        """Put the changed weights into `pipe`, beside those of edits that are there, and return it.

        BadInput, and no change, when it is another base, or when this edit is there already.
        """
        ledger = Ledger.of(pipe)
        if any(edit is self for edit in ledger.edits):
            raise BadInput("this edit has been applied already.")
        ledger.order(pipe, [*ledger.edits, self])
        return pipe

    def undo(self, pipe: Any) -> Any:
        """Take this edit out of `pipe`, whatever was applied after it, and return it.

        Without edits all is the base's, bit for bit. BadInput when this one was not applied, or another stands on it.
        """
        ledger = Ledger.of(pipe)
        if not any(edit is self for edit in ledger.edits):
            raise BadInput("this edit has not been applied, so there is nothing to undo.")
        ledger.order(pipe, [edit for edit in ledger.edits if edit is not self])
        return pipe

    @classmethod
    def of(cls, pipe: Any) -> "Edit":
        """All that is edited in `pipe` as one edit of its base; `edits` of `about` says what it was made of, in order."""
        ledger = Ledger.of(pipe)
        if not ledger.edits:
            raise BadInput("nothing is edited in this pipeline.")
        if len(ledger.edits) == 1:
            return ledger.edits[0]
        parameters = {part: dict(getattr(pipe, part).named_parameters()) for part in {n.partition(".")[0] for n in ledger.base}}
        tensors = {name: parameters[name.partition(".")[0]][name.partition(".")[2]].detach().clone() for name in ledger.base}
        first = ledger.edits[0].about
        about: dict[str, Any] = {name: first[name] for name in ("base", "base_hash", "versions", "config") if name in first}
        about["base_tensors"] = {name: tensor_hash(tensor) for name, tensor in ledger.base.items()}
        about["concepts"] = [concept for edit in ledger.edits for concept in edit.about.get("concepts", [])]
        about["edits"] = [edit.line() for edit in ledger.edits]
        return cls(tensors, about)

    def line(self) -> dict[str, Any]:
        """What a list of edits says of this one."""
        concepts = [concept["name"] for concept in self.about.get("concepts", [])]
        method = self.about.get("config", {}).get("method", {}).get("name")
        return {"concepts": concepts, "method": method, "base": self.about.get("base"), "digest": self.digest()}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names and values."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
