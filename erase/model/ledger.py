"""This file is what is edited in a pipeline: edits in their order, and what stood there before the first of them."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from erase.errors import BadInput

if TYPE_CHECKING:
    from erase.model.edit import Edit


class Ledger:
    """The edits of one pipeline, in order, and the base's own weights that they changed.

    An edit is a difference to what it was made from: the base, or what the edits before it have made of the base. Where
    several change one weight their differences add up, in fp32; what only one changes is its own, to the last bit. All is
    made anew from the base whenever the list changes: without edits every weight is the base's again, bit for bit.
    """

    def __init__(self) -> None:
        self.edits: list[Edit] = []
        self.base: dict[str, Tensor] = {}

    @classmethod
    def of(cls, pipe: Any) -> "Ledger":
        """The ledger of a diffusers pipeline, which it is kept with."""
        found: Ledger = vars(pipe).setdefault("_erase_ledger", cls())
        return found

    @torch.no_grad()
    def order(self, pipe: Any, edits: Sequence["Edit"]) -> None:
        """Have `edits` in `pipe`, in this order, and no others. BadInput, and no change, where one does not fit there."""
        names = dict.fromkeys(name for edit in (*self.edits, *edits) for name in edit.tensors)
        found = {name: _parameter(pipe, name) for name in names}
        base = {name: self.base[name] if name in self.base else found[name].detach().clone() for name in names}
        made: dict[str, Tensor] = {}
        for edit in edits:
            made |= {name: _with(edit, name, base[name], made.get(name)) for name in edit.tensors}
        for name, parameter in found.items():
            parameter.copy_(made.get(name, base[name]))
        self.edits, self.base = list(edits), {name: base[name] for name in made}


def _parameter(pipe: Any, name: str) -> Tensor:
    part, _, rest = name.partition(".")
    found = getattr(pipe, part, None)
    parameter: Tensor | None = dict(found.named_parameters()).get(rest) if found is not None else None
    if parameter is None:
        raise BadInput(f"this edit does not fit the pipeline: it changes {name}, not there.")
    return parameter


def _with(edit: "Edit", name: str, base: Tensor, now: Tensor | None) -> Tensor:
    """The weight `name` with `edit`, where edits before it have made `now` of the `base`; None: they left it alone."""
    new, hashes = edit.tensors[name].to(base.device), edit.about.get("base_tensors", {})
    if base.shape != new.shape:
        raise BadInput(f"this edit does not fit the pipeline: it changes {name} {tuple(new.shape)}, not there.")
    known = hashes.get(name, tensor_hash(base))
    if _alike(tensor_hash(base), known):
        return new if now is None else now.float() + (new.float() - base.float())
    if now is not None and _alike(tensor_hash(now.to(base.dtype)), known):
        return new
    made_for = edit.about.get("base", "another model")
    raise BadInput(f"this edit was made for {made_for}, and {name} of the given pipeline differs from it.")


def _alike(one: str, other: str) -> bool:
    """Whether two tensors' hashes are of the same weights, in whatever precision either was loaded."""
    return not {*one.split()}.isdisjoint(other.split())


def tensor_hash(tensor: Tensor) -> str:
    """Short hashes of values in fp16 and in bf16; of what is in bf16 already, only the second.

    A base loaded in fp16 and in fp32 has the first in common, in bf16 and in fp32 the second; by way of fp16 bf16 is rounded
    twice, and may be another.
    """
    kinds = (torch.bfloat16,) if tensor.dtype == torch.bfloat16 else (torch.float16, torch.bfloat16)
    values = [tensor.detach().to(kind).cpu().contiguous().view(torch.uint8).numpy().tobytes() for kind in kinds]
    return " ".join(hashlib.blake2b(v, digest_size=8).hexdigest() for v in values)
