"""This file is low-rank adapters: layers hear W + (α / r) B A, of which only A and B move."""

import re
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from erase.errors import BadInput
from erase.model.text_to_image import TextToImage
from erase.parameters import Select
from erase.random import stream


class LoRA:
    """Hu et al. 2021 (arXiv 2106.09685), by peft, in all linear layers whose name matches `include` and not `exclude`.

    B begins at 0, so the teacher, who hears the adapters' originals, is the unedited network. An edit holds the layers'
    whole weights, as any other does: it fits every pipeline of the base, and nobody else has to know of adapters.
    """

    def __init__(self, include: str, exclude: str | None = None, rank: int = 4, alpha: float = 4.0) -> None:
        if rank < 1:
            raise BadInput(f"parameters.rank={rank} must be at least 1.")
        if not alpha > 0:
            raise BadInput(f"parameters.alpha={alpha} must be greater than 0.")
        self.select, self.rank, self.alpha = Select(include, exclude), rank, alpha

    def prepare(self, model: TextToImage, seed: int) -> None:
        linear = [(p, n) for p, m in model.modules.items() for n, layer in m.named_modules() if isinstance(layer, nn.Linear)]
        chosen = {*self.select.names(f"{part}.{name}" for part, name in linear)}
        layers = [(part, name) for part, name in linear if f"{part}.{name}" in chosen]
        for part in dict.fromkeys(part for part, _ in layers):
            targets = "|".join(re.escape(name) for p, name in layers if p == part)
            inject_adapter_in_model(LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets), model.modules[part])
        self.layers: dict[str, Any] = {f"{p}.{n}.weight": model.modules[p].get_submodule(n) for p, n in layers}
        self.before: dict[str, Tensor] = {}  # fp32: what moves is folded into these, not into what the run's precision left
        for name, layer in self.layers.items():
            self.before[name] = layer.base_layer.weight.detach().clone()
            first = layer.lora_A["default"].weight
            drawn = torch.rand(first.shape, generator=stream(seed, f"adapter {name}"))
            first.data.copy_((2 * drawn - 1) / layer.in_features**0.5)  # as torch and peft begin, from a stream of its own
        model.move(name for name, _ in model.named_parameters() if ".lora_" in name)

    def fold(self, model: TextToImage) -> dict[str, Tensor]:
        deltas = {name: layer.get_delta_weight("default").detach() for name, layer in self.layers.items()}
        return {name: self.before[name].to(delta.device) + delta for name, delta in deltas.items()}

    def unload(self, model: TextToImage) -> None:
        for name, layer in self.layers.items():
            part, _, own = name.removesuffix(".weight").partition(".")
            parent, _, child = own.rpartition(".")
            setattr(model.modules[part].get_submodule(parent), child, layer.base_layer)
            layer.base_layer.weight.data = self.before[name].to(layer.base_layer.weight.device)
        for module in model.modules.values():
            if hasattr(module, "peft_config"):
                del module.peft_config
        model.moving, model.originals, model.original_hashes = {}, {}, {}
        model.move(self.layers)
