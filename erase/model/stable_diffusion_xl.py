"""This file is Stable Diffusion XL behind the door: a UNet that hears two encoders, their pooled state and a size."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor, nn

from erase.errors import BadInput
from erase.model.stable_diffusion import StableDiffusion
from erase.model.text_to_image import Conditioning


class StableDiffusionXL(StableDiffusion):
    """`StableDiffusionXLPipeline` (Podell et al. 2023, arXiv 2307.01952), the base model.

    The sequence is the last states but one of CLIP's ViT-L and OpenCLIP's ViT-bigG, side by side, and so are the embeddings of
    tokens: both read one vocabulary, which they pad in their own ways. Pooled is the second's word on the whole prompt. Where
    the pipeline says so, the empty prompt is heard as nought, as diffusers guides by it. Pictures are of the model's own size.
    """

    pipeline: ClassVar[type[DiffusionPipeline]] = StableDiffusionXLPipeline
    encoders: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")
    without: ClassVar[tuple[str, ...]] = ()
    besides: ClassVar[str | None] = "text_time"

    def _check(self, pipe: Any) -> None:
        super()._check(pipe)
        if pipe.tokenizer is None or pipe.tokenizer.get_vocab() != pipe.tokenizer_2.get_vocab():
            raise BadInput(f"model.source={self.source_name} has two vocabularies, and no token means the same in both.")

    @property
    def special(self) -> set[int]:
        return super().special | {*self.pipe.tokenizer_2.all_special_ids}

    @property
    def _tables(self) -> list[Tensor]:
        return [cast(Any, self.modules[part]).get_input_embeddings().weight for part in self.encoders]

    @property
    def table(self) -> Tensor:
        return torch.cat([table.to(self.device) for table in self._tables], 1)

    def embed(self, ids: Tensor) -> Tensor:
        both = zip((ids, self._second(ids)), self._tables, strict=True)
        found = [nn.functional.embedding(own.to(table.device), table).float().to(self.device) for own, table in both]
        return torch.cat(found, -1)

    def _second(self, ids: Tensor) -> Tensor:
        """The second tokenizer's ids: what stands behind the end is its own."""
        ends = ids == self.pipe.tokenizer.eos_token_id
        return ids.masked_fill(ends.cumsum(-1) - ends.long() > 0, self.pipe.tokenizer_2.pad_token_id)

    def encode(self, ids: Tensor, edited: bool = True, embeddings: Tensor | None = None) -> Conditioning:
        widths = [table.shape[1] for table in self._tables]
        first, second = (None, None) if embeddings is None else embeddings.split(widths, -1)
        one = self._read("text_encoder", ids, edited, first, every=True)
        two = self._read("text_encoder_2", self._second(ids), edited, second, every=True)
        sequence, pooled = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], -1), two.text_embeds
        if self.pipe.config.force_zeros_for_empty_prompt:
            empty = (ids[:, 1] == self.pipe.tokenizer.eos_token_id).to(sequence.device)
            sequence, pooled = sequence.masked_fill(empty[:, None, None], 0), pooled.masked_fill(empty[:, None], 0)
        return Conditioning(sequence.to(self.device, self.precision), pooled=pooled.to(self.device, self.precision))

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str]) -> Tensor:
        """The second encoder's pooled state, projected."""
        ids = self._second(self.tokenize(prompts))
        return cast(Tensor, self._read("text_encoder_2", ids, edited=False).text_embeds.float())

    def beside(self, conditioning: Conditioning) -> dict[str, Tensor] | None:
        assert conditioning.pooled is not None
        size = self.latent_shape[1] * self.pipe.vae_scale_factor
        sizes = torch.tensor([size, size, 0, 0, size, size], device=conditioning.pooled.device)  # original, cut off, wanted
        return {"text_embeds": conditioning.pooled, "time_ids": sizes.expand(len(conditioning), -1)}
