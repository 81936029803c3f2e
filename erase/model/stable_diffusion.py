"""This file is Stable Diffusion 1.x and 2.x behind the door: a UNet that hears CLIP's token sequence. The miniature is one."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from erase.errors import BadInput
from erase.miniature import WEIGHTS, world
from erase.model.edit import Edit
from erase.model.retrained import Retrained
from erase.model.source import load
from erase.model.text_to_image import Conditioning, Key, TextToImage, swapped

FAMILIES = {None: "sd14, sd15 or sd21", "text_time": "sdxl"}
"""What a UNet hears besides words, as its config says, and the models that are of its family."""

DECODED = 2**20
"""Pixels that are decoded at once: a layer of 256 channels holds 1 GiB of them in fp32."""

WORDS = 5_000
"""More tokens than any miniature has, and fewer than CLIP's 49,408."""


class StableDiffusion(TextToImage):
    """`StableDiffusionPipeline` from a local folder, a single file or a hub id; `miniature` is the one that this project ships.

    1.x predicts noise and hears CLIP's ViT-L; 2.x hears OpenCLIP's ViT-H and, at 768 pixels, predicts v = √ᾱ ε − √(1−ᾱ) x₀
    (Salimans & Ho 2022, arXiv 2202.00512), of which ε = √ᾱ v + √(1−ᾱ) x_t is made: all else is alike.

    `config` and `pickled` are `source.load`'s. `retrained` is the folder of networks trained in the same way without a concept:
    beside the weights, in `retrained/`, unless it is given.
    """

    pipeline: ClassVar[type[DiffusionPipeline]] = StableDiffusionPipeline
    encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    without: ClassVar[tuple[str, ...]] = ("safety_checker",)  # parts that nobody asks
    besides: ClassVar[str | None] = None  # what the UNet hears besides the sequence

    def __init__(
        self,
        source: str,
        revision: str | None = None,
        vocabulary: str | None = None,
        retrained: str | None = None,
        name: str = "",
        precision: torch.dtype = torch.float32,
        config: str | None = None,
        pickled: bool = False,
    ) -> None:
        self.name = name
        self.source_name, self.source = source, str(WEIGHTS) if source == "miniature" else source
        self.truths = retrained
        pipe: Any = load(self.pipeline, self.source, revision, config, pickled, **dict.fromkeys(self.without))
        self._check(pipe)
        super().__init__(pipe, {"unet": pipe.unet, **{part: getattr(pipe, part) for part in self.encoders}}, precision)
        pipe.vae.requires_grad_(False).eval()
        self.hash = fingerprint({**self.modules, "vae": pipe.vae})
        miniature = vocabulary == "miniature"
        if miniature and len(pipe.tokenizer) > WORDS:
            raise BadInput(f"model.source={source} knows more words than the miniature: model=sd14, sd15, sd21 or sdxl.")
        self.words = world.names() if miniature else None
        self.vocabulary = world.vocabulary() if miniature else []
        self.things = [prompt.removeprefix("a photo of ") for prompt in self.vocabulary]

    def _check(self, pipe: Any) -> None:
        """BadInput for a pipeline of another family, or of another use."""
        heard = pipe.unet.config.addition_embed_type
        if heard != self.besides:
            raise BadInput(f"model.source={self.source_name} is of another family: model={FAMILIES.get(heard, 'another')}.")
        if missing := [part for part in self.encoders if getattr(pipe, part) is None]:
            raise BadInput(f"model.source={self.source_name} has no {missing[0]}: a refiner draws nothing from words alone.")
        if pipe.unet.config.in_channels != pipe.vae.config.latent_channels:
            raise BadInput(f"model.source={self.source_name} draws in a given picture, and not from words alone.")
        schedule = pipe.scheduler.config
        if schedule.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction"):
            raise BadInput(f"model.source={self.source_name} predicts {schedule.prediction_type}, not epsilon or v_prediction.")
        if schedule.get("rescale_betas_zero_snr"):
            raise BadInput(f"model.source={self.source_name} begins where nothing but noise is (rescale_betas_zero_snr).")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        size = self.pipe.unet.config.sample_size
        return self.pipe.unet.config.in_channels, size, size

    def to(self, device: torch.device) -> None:
        super().to(device)
        if device.type == "cpu" and self.precision == torch.bfloat16:
            self.pipe.unet.set_attn_processor(FusedForwards())

    def rest(self) -> None:
        if self.low_memory:
            resting = [part for part in self.encoders if not any(name.startswith(f"{part}.") for name in self.moving)]
            for part in (*resting, "vae"):
                getattr(self.pipe, part).to("cpu")
            self.pipe.unet.enable_gradient_checkpointing()

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
        said = self._read("text_encoder", ids, edited, embeddings).last_hidden_state
        return Conditioning(said.to(self.device, self.precision))

    def _read(self, part: str, ids: Tensor, edited: bool = True, embeddings: Tensor | None = None, every: bool = False) -> Any:
        """What the encoder `part` makes of `ids`, or of `embeddings` in their place; `every` layer's states besides."""
        encoder = cast(Any, self.modules[part])
        with ExitStack() as hooks, self.autocast():
            if embeddings is not None:  # CLIPTextModel takes none since transformers 5
                lookup = encoder.get_input_embeddings()
                hooks.enter_context(lookup.register_forward_hook(lambda _, ids, own: embeddings.to(own)))
            own = next(encoder.parameters()).device  # the CPU's while it rests
            return swapped(encoder, self.weights(part, edited), ids.to(own), output_hidden_states=every)

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str]) -> Tensor:
        """CLIP's pooled state: the last layer's at the end-of-text token, after the final norm and before any projection."""
        return cast(Tensor, self._read("text_encoder", self.tokenize(prompts), edited=False).pooler_output.float())

    def denoise(self, x_t: Tensor, t: Tensor, conditioning: Conditioning, weights: dict[str, Tensor] | None) -> Tensor:
        with self._hearing(conditioning.key or {}):
            out = swapped(self.pipe.unet, weights, x_t, t, conditioning.sequence, added_cond_kwargs=self.beside(conditioning))
        return cast(Tensor, cast(Any, out).sample)

    def beside(self, conditioning: Conditioning) -> dict[str, Tensor] | None:
        """What the UNet hears besides the sequence, a row a sample, by its own names."""
        return None

    def as_noise(self, said: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        if self.pipe.scheduler.config.get("prediction_type", "epsilon") == "epsilon":
            return said
        alpha = self.alphas.to(x_t.device)[t.to(x_t.device)].view(-1, 1, 1, 1)
        return alpha.sqrt() * said + (1 - alpha).sqrt() * x_t

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
        vae, side = self.pipe.vae, self.pipe.vae_scale_factor
        rows = max(1, DECODED // (latents.shape[-2] * latents.shape[-1] * side**2))
        scaled = (latents / vae.config.scaling_factor).to(vae.device, vae.dtype)
        return torch.cat([cast(Tensor, vae.decode(some).sample) for some in scaled.split(rows)])

    @property
    def cross_attention(self) -> list[str]:
        return [f"unet.{name}" for name, _ in self.pipe.unet.named_modules() if name.endswith(".attn2")]

    @property
    def noise_scheduler(self) -> DDIMScheduler:
        told = {"prediction_type": "epsilon", "clip_sample": False}  # latents have no bounds, whatever a config leaves unsaid
        return cast(DDIMScheduler, DDIMScheduler.from_config(self.pipe.scheduler.config, **told))


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


def fingerprint(modules: dict[str, nn.Module]) -> str:
    """sha256 over names and values of all weights, as loaded: what an edit fits, wherever the model came from."""
    digest = hashlib.sha256()
    for prefix, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{prefix}.{name}".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
