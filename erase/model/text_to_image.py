"""This file is the door to a diffusion model: what methods, banks and judges may ask of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DDIMScheduler, DiffusionPipeline
from torch import Tensor, nn
from torch.func import functional_call

from erase.errors import BadInput
from erase.files import source_hash
from erase.model.edit import Edit
from erase.model.ledger import tensor_hash
from erase.model.retrained import Retrained

Key = Mapping[str, Tensor]
"""What layers of cross-attention hear behind the words, by a layer's name: (2, tokens, width), for its keys and values."""


SEARCH_SCALE = 1024.0
"""How much larger a total is made whose gradients go through fp16, of which the smallest number is 6e-8."""


@dataclass(frozen=True)
class Conditioning:
    """What the network hears of a batch of prompts. `sequence` is (batch, tokens, width); every row hears the `key`.

    `pooled` (batch, width) is what some families hear of each whole prompt besides; None where there is no such thing.
    """

    sequence: Tensor
    key: Key | None = None
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sequence)

    def _alike(self, change: Callable[[Tensor], Tensor]) -> "Conditioning":
        """The same `change` of all that has a row a prompt."""
        pooled = None if self.pooled is None else change(self.pooled)
        return replace(self, sequence=change(self.sequence), pooled=pooled)

    def rows(self, index: Tensor | slice) -> "Conditioning":
        """The conditioning of some rows, in the order of `index`."""
        return self._alike(lambda own: own[index])

    def expand(self, batch: int) -> "Conditioning":
        """One row, repeated."""
        return self._alike(lambda own: own.expand(batch, *own.shape[1:]))

    def with_key(self, key: Key | None) -> "Conditioning":
        """The same words, heard with this `key` and no other."""
        return replace(self, key=key)

    def moved(self, way: Tensor) -> "Conditioning":
        """The sequence `way` (batch, tokens, width) further on; what is heard of whole prompts stays."""
        return replace(self, sequence=self.sequence + way)

    def mixed(self, shares: Tensor) -> "Conditioning":
        """Mixtures of the rows, by `shares` (mixtures, rows)."""
        return self._alike(lambda own: torch.tensordot(shares.to(own), own, 1))

    @staticmethod
    def stack(parts: Sequence["Conditioning"]) -> "Conditioning":
        """All rows of `parts`, one after the other, which hear one key or none."""
        assert all(p.key is parts[0].key for p in parts)
        pooled = [p.pooled for p in parts if p.pooled is not None]
        return replace(parts[0], sequence=torch.cat([p.sequence for p in parts]), pooled=torch.cat(pooled) if pooled else None)


@dataclass
class Cost:
    """Passes through the denoising network, counted per sample; guidance counts twice."""

    forwards: int = 0
    backwards: int = 0


@dataclass(frozen=True)
class Step:
    """One point of a sampling trajectory: latents before the step, and the noise that the network predicted in them.

    `x_t`, `conditional` (heard the prompt) and `unconditional` (heard nothing) are (batch, channels, height, width), fp32.
    """

    t: Tensor  # scalar timestep
    x_t: Tensor
    conditional: Tensor
    unconditional: Tensor


class TextToImage(ABC):
    """A text-to-image diffusion model, its edited weights and its frozen originals.

    There is one copy of every weight plus the originals of those that move: `edited=False` runs the same modules with
    the originals put in their place by `torch.func.functional_call`.
    """

    source_name: str
    """Where it is from, as the user says it."""

    def __init__(self, pipe: DiffusionPipeline, modules: dict[str, nn.Module], precision: torch.dtype) -> None:
        self.pipe, self.modules, self.precision = pipe, modules, precision
        self.cost = Cost()
        self.low_memory = False  # whether memory counts for more than time while it is edited
        self.shared: Path | None = None  # where runs keep for each other what is alike in all of them
        self.hash = ""  # sha256 of its weights: what an edit fits
        self.words: frozenset[str] | None = None  # the only words it knows; None: any
        self.things: list[str] = []  # names of what it can draw, for people
        self.vocabulary: list[str] = []  # prompts that name what it can draw: candidates for preservation
        self.moving: dict[str, nn.Parameter] = {}
        self.originals: dict[str, Tensor] = {}
        self.original_hashes: dict[str, str] = {}  # of each moving weight before any cast: how an edit knows its base
        for module in modules.values():
            module.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        return next(next(iter(self.modules.values())).parameters()).device

    @property
    def configs(self) -> dict[str, dict[str, str]]:
        """What each part was made with, besides its weights and where it came from."""
        found = {}
        for name, part in self.pipe.components.items():
            config: Any = getattr(part, "config", None)
            items = (config.to_dict() if hasattr(config, "to_dict") else dict(config or {})).items()
            found[name] = {k: str(v) for k, v in sorted(items) if not k.startswith("_")}
        return found

    @property
    def depends_on(self) -> dict[str, object]:
        """All that what it draws depends on to the last bit, besides what is asked of it: for the key of what runs share."""
        versions = {m.__name__: m.__version__ for m in (torch, diffusers, transformers)}
        own = {"model": self.hash, "configs": self.configs, "precision": str(self.precision), "code": source_hash(type(self))}
        return {**own, **versions, "hardware": hardware(self.device)}

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent."""

    @abstractmethod
    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (batch, tokens), padded to the model's length."""

    @abstractmethod
    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has, without those that begin, end and pad it."""

    @abstractmethod
    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, without those that begin, end and pad it; tokenized again, it may have other ids."""

    @property
    @abstractmethod
    def special(self) -> set[int]:
        """The ids that begin, end and pad a prompt."""

    @property
    @abstractmethod
    def table(self) -> Tensor:
        """What stands for each token before the text encoder's first layer, (vocabulary, width), as it stands in the edit."""

    @cached_property
    def ordinary(self) -> Tensor:
        """The ids of all tokens that are not special, ascending, on the CPU: what may stand in a prompt."""
        special = self.special
        return torch.tensor([i for i in range(len(self.table)) if i not in special])

    def embed(self, ids: Tensor) -> Tensor:
        """Rows (batch, tokens, width) of `table`, fp32: what an attacker perturbs, and `encode` takes."""
        table = self.table  # on the CPU while an encoder rests there
        return nn.functional.embedding(ids.to(table.device), table).float().to(self.device)

    @abstractmethod
    def encode(self, ids: Tensor, edited: bool = True, embeddings: Tensor | None = None) -> Conditioning:
        """What the network hears of token ids (batch, tokens), or of `embeddings` (batch, tokens, width) in their place.

        With embeddings the ids only say where the prompt ends.
        """

    @abstractmethod
    def text_features(self, prompts: Sequence[str]) -> Tensor:
        """What the unedited text encoder makes of each whole prompt, (batch, width) fp32, without gradient."""

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, conditioning: Conditioning, weights: dict[str, Tensor] | None) -> Tensor:
        """One pass of the denoising network; `weights` replace its own by name where given."""

    @abstractmethod
    def as_noise(self, said: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise in `x_t` at `t` by what the network `said`, fp32, shapes as in `predict`: not all are asked for noise."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Images (batch, 3, height, width) between -1 and 1."""

    @property
    @abstractmethod
    def cross_attention(self) -> list[str]:
        """The layers of the denoising network that hear a prompt, as `unet.….attn2`: those that a key may name."""

    @property
    @abstractmethod
    def noise_scheduler(self) -> DDIMScheduler:
        """The model's noise schedule as DDIM steps that are told the noise, fresh: samplers keep state."""

    @cached_property
    def alphas(self) -> Tensor:
        """ᾱ of every timestep (timesteps,), fp32."""
        return self.noise_scheduler.alphas_cumprod

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratios ᾱ/(1−ᾱ) at timesteps `t` (batch,), fp32."""
        alphas = self.alphas.to(t.device)[t]
        return alphas / (1 - alphas)

    def grid(self, steps: int) -> Tensor:
        """The timesteps (steps,) of a trajectory, the noisiest first."""
        scheduler = self.noise_scheduler
        scheduler.set_timesteps(steps, device=self.device)
        return scheduler.timesteps

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All weights as `module.name`: `unet.conv_in.weight`, `text_encoder.…`."""
        for prefix, module in self.modules.items():
            for name, parameter in module.named_parameters():
                yield f"{prefix}.{name}", parameter

    def move(self, names: Iterable[str]) -> None:
        """Let the named weights change: they become fp32 masters, their originals are kept, the rest is frozen and cast."""
        chosen = set(names)
        for name, parameter in self.named_parameters():
            if name in chosen:
                self.original_hashes[name] = tensor_hash(parameter)
                self.originals[name] = parameter.detach().clone().to(self.precision)
                self.moving[name] = parameter
                parameter.data = parameter.data.float()
                parameter.requires_grad_(True)
            else:
                parameter.data = parameter.data.to(self.precision)

    @property
    @abstractmethod
    def truth_folder(self) -> Path:
        """Where networks lie that were trained in the same way without a concept."""

    def retrained(self, labels: Collection[str | None]) -> Retrained | None:
        """The network trained in the same way without `labels`, the judge's; None where there is none.

        None among `labels` stands for something erased that the judge has no label for.
        """
        return None

    def weights_of(self, retrained: Retrained) -> dict[str, Tensor]:
        """A retrained network's weights by this model's names; BadInput when names or shapes are not all those of its own."""
        tensors, own = retrained.load(), self.modules["unet"].state_dict()
        if wrong := {(n, t.shape) for n, t in tensors.items()} ^ {(n, t.shape) for n, t in own.items()}:
            raise BadInput(f"{retrained.path} does not fit the model: {min(wrong)[0]} is not the same in both.")
        return {f"unet.{n}": t for n, t in tensors.items()}

    @contextmanager
    def as_if(self, retrained: Retrained) -> Iterator[None]:
        """Within this context `edited=False` is the retrained network, and `hash` says so; the edited one is not touched.

        It stands where the teacher stands, in the run's precision, whatever moves: one more copy of the denoising network
        while the context lasts. BadInput as `weights_of`.
        """
        kept, hash_ = self.originals, self.hash
        placed = {n: t.to(self.device, self.precision) for n, t in self.weights_of(retrained).items()}
        self.originals, self.hash = {**kept, **placed}, f"{hash_} {retrained.digest}"
        try:
            yield
        finally:
            self.originals, self.hash = kept, hash_

    @property
    def text_encoder_moves(self) -> bool:
        """Whether the edited network may hear other states of the same words than the unedited one."""
        return any(name.startswith("text_encoder") for name in self.moving)

    @abstractmethod
    def become(self, edit: Edit) -> None:
        """Have the weights of `edit` for good: `hash` is then its own. BadInput if they do not fit or change nothing."""

    @torch.no_grad()
    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the moving weights these values, by name."""
        for name, tensor in tensors.items():
            self.moving[name].copy_(tensor)

    def to(self, device: torch.device) -> None:
        """Move everything, the originals too."""
        self.pipe.to(device)
        self.originals = {name: tensor.to(device) for name, tensor in self.originals.items()}

    @abstractmethod
    def rest(self) -> None:
        """Where `low_memory`, what no update needs leaves the device, and passes are made again for their gradients."""

    def weights(self, prefix: str, edited: bool) -> dict[str, Tensor] | None:
        """The originals of the moving weights of one module, by the module's own names; None when its own will do."""
        if edited:
            return None
        start = f"{prefix}."
        return {n.removeprefix(start): w for n, w in self.originals.items() if n.startswith(start)} or None

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision around a pass: fp32 masters meet frozen parts in the run's precision."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)

    def predict(self, x_t: Tensor, t: Tensor, conditioning: Conditioning, edited: bool = True) -> Tensor:
        """The noise that the network predicts (batch, channels, height, width), fp32; counted. `edited=False` is the teacher.

        `x_t` (batch, channels, height, width), `t` (batch,) or scalar, one row of `conditioning` a sample.
        """
        self.cost.forwards += len(x_t)
        with self.autocast():
            said = self.denoise(x_t.to(self.precision), t, conditioning, self.weights("unet", edited)).float()
        out = self.as_noise(said, x_t.float(), t)
        if out.requires_grad:
            out.register_hook(self._count_backward)
        return out

    def gradients(self, total: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Of `total`, a scalar, with respect to `inputs`. In fp16 by way of a larger total: what is little there is nought."""
        scale = SEARCH_SCALE if self.precision == torch.float16 else 1.0
        return tuple(gradient / scale for gradient in torch.autograd.grad(scale * total, list(inputs)))

    def _count_backward(self, gradient: Tensor) -> None:
        self.cost.backwards += len(gradient)

    def prompt(self, prompts: Sequence[str], edited: bool = True) -> Conditioning:
        """`prompts`, tokenized and encoded without gradient."""
        with torch.no_grad():
            return self.encode(self.tokenize(prompts), edited)

    @torch.no_grad()
    def trajectory(
        self, conditioning: Conditioning, noise: Tensor, steps: int, guidance_scale: float, edited: bool
    ) -> Iterator[Step]:
        """DDIM from pure `noise` (batch, channels, height, width) under classifier-free guidance (Ho & Salimans 2021).

        Yields every point before its step; the last value is at t = -1, the finished latents, with no predictions. A key is
        heard with the empty prompt too, as published.
        """
        scheduler = self.noise_scheduler
        scheduler.set_timesteps(steps, device=self.device)
        empty = self.prompt([""], edited).expand(len(noise)).with_key(conditioning.key)
        both = Conditioning.stack([empty, conditioning])
        x_t = noise.to(self.device) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            unconditional, conditional = self.predict(torch.cat([x_t, x_t]), t, both, edited).chunk(2)
            yield Step(t, x_t, conditional, unconditional)
            guided = unconditional + guidance_scale * (conditional - unconditional)
            x_t = scheduler.step(guided, int(t), x_t).prev_sample
        yield Step(torch.tensor(-1), x_t, x_t, x_t)

    @torch.no_grad()
    def teacher(
        self, x_t: Tensor, t: Tensor, heard: Conditioning, nothing: Conditioning | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the frozen model predicts at `x_t` of what is `heard`, a row each, and of `nothing`, one row, where
        that is given: both as `x_t`."""
        if nothing is None:
            return self.predict(x_t, t, heard, edited=False), None
        both = Conditioning.stack([heard, nothing.expand(len(x_t))])
        one, other = self.predict(torch.cat([x_t, x_t]), torch.cat([t, t]), both, edited=False).chunk(2)
        return one, other

    @torch.no_grad()
    def partway(
        self, conditioning: Conditioning, noise: Tensor, stops: Tensor, steps: int, guidance_scale: float, edited: bool
    ) -> Tensor:
        """The latents (batch, channels, height, width) of `trajectory` where each row has made its own number of steps.

        `stops` (batch,) are from 0, the noise, to `steps`, the finished latents. A row that is there costs nothing more. The
        empty prompt is the unedited text encoder's.
        """
        scheduler = self.noise_scheduler
        scheduler.set_timesteps(steps, device=self.device)
        empty = self.prompt([""], edited=False)
        x_t = noise.to(self.device) * scheduler.init_noise_sigma
        for made, t in enumerate(scheduler.timesteps[: int(stops.max())]):
            rows = (stops > made).nonzero()[:, 0].to(self.device)
            x = x_t[rows]
            both = Conditioning.stack([empty.expand(len(rows)), conditioning.rows(rows)])
            unconditional, conditional = self.predict(torch.cat([x, x]), t, both, edited).chunk(2)
            guided = unconditional + guidance_scale * (conditional - unconditional)
            x_t[rows] = scheduler.step(guided, int(t), x).prev_sample
        return x_t

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """The initial latents of `seeds`, drawn on the CPU one by one as diffusers does: alike on every device and batch."""
        draws = [torch.randn(self.latent_shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.stack(draws)

    @torch.no_grad()
    def images(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int,
        guidance_scale: float,
        edited: bool = True,
        key: Key | None = None,
    ) -> Tensor:
        """Pictures (batch, 3, height, width) uint8 on the CPU: one for each pair of prompt and seed."""
        heard = self.prompt(prompts, edited).with_key(key)
        return self.draw(heard, seeds, steps, guidance_scale, edited)

    @torch.no_grad()
    def draw(self, heard: Conditioning, seeds: Sequence[int], steps: int, guidance_scale: float, edited: bool = True) -> Tensor:
        """As `images`, of what is `heard`, a row a picture."""
        *_, last = self.trajectory(heard, self.noise(seeds), steps, guidance_scale, edited)
        decoded = self.decode(last.x_t)
        return ((decoded.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous()


def hardware(device: torch.device) -> str:
    """What rounding depends on: the kind of GPU, or the CPU's instructions and the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"


def swapped(module: nn.Module, weights: dict[str, Tensor] | None, *args: object, **kwargs: object) -> object:
    """Call `module`, with `weights` in the place of its own where given."""
    return module(*args, **kwargs) if weights is None else functional_call(module, weights, args, kwargs)
