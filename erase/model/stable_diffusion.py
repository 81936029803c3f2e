"""This file is Stable Diffusion 1.x behind the door: a UNet that hears CLIP's token sequence. The miniature is one."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from erase.errors import BadInput
from erase.miniature import WEIGHTS, world
from erase.model.edit import Edit
from erase.model.retrained import Retrained
from erase.model.text_to_image import Conditioning, Key, TextToImage, swapped


class StableDiffusion(TextToImage):
    """`StableDiffusionPipeline` from a local folder or a hub id; `miniature` is the one that this project ships.

    `retrained` is the folder of networks trained in the same way without a concept: beside the weights, in `retrained/`,
    unless it is given.
    """

    def __init__(
        self,
        source: str,
        revision: str | None = None,
        vocabulary: str | None = None,
        retrained: str | None = None,
        name: str = "",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.source_name, self.source = source, str(WEIGHTS) if source == "miniature" else source
        self.truths = retrained
        try:
            pipe = StableDiffusionPipeline.from_pretrained(self.source, revision=revision, safety_checker=None)
        except (OSError, ValueError) as e:
            raise BadInput(f"model.source={source} does not load as a Stable Diffusion pipeline: {_first(e)}") from e
        super().__init__(pipe, {"unet": pipe.unet, "text_encoder": pipe.text_encoder}, precision)
        pipe.vae.requires_grad_(False).eval()
        self.hash = fingerprint({**self.modules, "vae": pipe.vae})
        miniature = vocabulary == "miniature"
        self.words = world.names() if miniature else None
        self.vocabulary = world.vocabulary() if miniature else []
        self.things = [prompt.removeprefix("a photo of ") for prompt in self.vocabulary]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        size = self.pipe.unet.config.sample_size
        return self.pipe.unet.config.in_channels, size, size

    def to(self, device: torch.device) -> None:
        super().to(device)
        if device.type == "cpu" and self.precision == torch.bfloat16:
            self.pipe.unet.set_attn_processor(FusedForwards())

    @property
    def truth_folder(self) -> Path:
        return Path(self.truths or Path(self.source, "retrained"))

    def retrained(self, labels: Collection[str | None]) -> Retrained | None:
        if self.truths and not self.truth_folder.is_dir():
            raise BadInput(f"model.retrained={self.truths} is not a folder.")
        return Retrained.find(self.truth_folder, labels, self.hash)

    def become(self, edit: Edit) -> None:
        before = self.hash
        edit.apply(self.pipe)
        self.hash = fingerprint({**self.modules, "vae": self.pipe.vae})
        if self.hash == before:
            raise BadInput(f"this edit changes nothing of {self.source_name}.")

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        ids = self.pipe.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return cast(Tensor, ids).to(self.device)

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return [len(ids) - 2 for ids in self.pipe.tokenizer(list(prompts), truncation=True).input_ids]

    def detokenize(self, ids: Sequence[int]) -> str:
        return cast(str, self.pipe.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    @property
    def special(self) -> set[int]:
        return {*self.pipe.tokenizer.all_special_ids}

    @property
    def table(self) -> Tensor:
        return cast(Tensor, self.pipe.text_encoder.get_input_embeddings().weight)

    def encode(self, ids: Tensor, edited: bool = True, embeddings: Tensor | None = None) -> Conditioning:
        with ExitStack() as hooks, self.autocast():
            if embeddings is not None:  # CLIPTextModel takes none since transformers 5
                lookup = self.pipe.text_encoder.get_input_embeddings()
                hooks.enter_context(lookup.register_forward_hook(lambda _, ids, own: embeddings.to(own)))
            out = swapped(self.pipe.text_encoder, self.weights("text_encoder", edited), ids)
        return Conditioning(cast(Any, out).last_hidden_state.to(self.precision))

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str]) -> Tensor:
        """CLIP's pooled state: the last layer's at the end-of-text token, after the final norm and before any projection."""
        with self.autocast():
            out = swapped(self.pipe.text_encoder, self.weights("text_encoder", edited=False), self.tokenize(prompts))
        return cast(Tensor, cast(Any, out).pooler_output.float())

    def denoise(self, x_t: Tensor, t: Tensor, conditioning: Conditioning, weights: dict[str, Tensor] | None) -> Tensor:
        with self._hearing(conditioning.key or {}):
            out = swapped(self.pipe.unet, weights, x_t, t, conditioning.sequence)
        return cast(Tensor, cast(Any, out).sample)

    @contextmanager
    def _hearing(self, key: Key) -> Iterator[None]:
        """Within this context K = W_K [c; P_k] and V = W_V [c; P_v] in the layers that `key` names.

        The tokens are put behind the words where W_K and W_V take them in: whatever attention comes after is diffusers'
        own, and without a key nothing is touched.
        """
        with ExitStack() as hooks:
            for layer, prompts in key.items():
                for name, prompt in zip(("to_k", "to_v"), prompts, strict=True):
                    projection = self.pipe.unet.get_submodule(f"{layer.removeprefix('unet.')}.{name}")
                    hooks.enter_context(projection.register_forward_pre_hook(partial(_behind, prompt)))
            yield

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipe.vae
        return cast(Tensor, vae.decode((latents / vae.config.scaling_factor).to(vae.dtype)).sample)

    @property
    def cross_attention(self) -> list[str]:
        return [f"unet.{name}" for name, _ in self.pipe.unet.named_modules() if name.endswith(".attn2")]

    @property
    def noise_scheduler(self) -> DDIMScheduler:
        return cast(DDIMScheduler, DDIMScheduler.from_config(self.pipe.scheduler.config))


class FusedForwards(AttnProcessor2_0):
    """Attention on a CPU in bfloat16, where PyTorch's fused kernel is quick forwards and slow backwards.

    On the miniature a forward pass takes 0.7 times as long with it as without, an update 1.6 times.
    """

    plain = AttnProcessor()

    def __call__(self, attn: Attention, *args: Any, **kwargs: Any) -> Tensor:
        if torch.is_grad_enabled():
            return cast(Tensor, self.plain(attn, *args, **kwargs))
        return cast(Tensor, super().__call__(attn, *args, **kwargs))


def _behind(prompt: Tensor, projection: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """States (batch, tokens, width) with `prompt` (more tokens, width) behind those of every row."""
    states = inputs[0]
    return (torch.cat([states, prompt.to(states).expand(len(states), -1, -1)], 1),)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def fingerprint(modules: dict[str, nn.Module]) -> str:
    """sha256 over names and values of all weights, as loaded: what an edit fits, wherever the model came from."""
    digest = hashlib.sha256()
    for prefix, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{prefix}.{name}".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
