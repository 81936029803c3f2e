"""This file is free tokens in a prompt: where they stand, counted in tokens, never in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from erase.errors import BadInput
from erase.model.text_to_image import Conditioning, TextToImage

KINDS = ("prefix", "suffix", "replaced", "inserted", "added")


@dataclass(frozen=True)
class Slots:
    """`count` free embeddings before a prompt's words (prefix), behind them (suffix), in their place (replaced), between
    them at equal distances (inserted), or one to each of its tokens, whatever the count (added): AdvUnlearn's forms (Zhang
    et al. 2024, arXiv 2405.15234).

    `by_words` is a defect of its released code: a prompt is taken to have as many tokens as words, and of those that it has
    more, `count` are lost. CLIP's nudity is two tokens, nu and dity; what is attacked is nu.
    """

    kind: str
    count: int
    by_words: bool = False

    def size(self, model: TextToImage, prompts: Sequence[str], field: str) -> int:
        """How many embeddings are free for any of `prompts`; BadInput, of `field`, where they do not fit beside its words."""
        longest = max(self._lengths(model, prompts))
        if self.kind == "added":
            return longest
        room = model.tokenize([""]).shape[1] - 2 - (0 if self.kind == "replaced" else longest)
        if self.count > room:
            raise BadInput(f"{field}={self.count} is more than the longest prompt leaves room for: {max(room, 0)}.")
        return self.count

    def _lengths(self, model: TextToImage, prompts: Sequence[str]) -> list[int]:
        return [len(p.split()) for p in prompts] if self.by_words else model.lengths(prompts)

    def places(self, words: int, tokens: int, at: int = 0) -> list[int]:
        """Where each of a prompt's `tokens` comes from: its own 0, 1, …, or free ones tokens, tokens + 1, ….

        Its own are the beginning, `words`, and the end with what pads it. A prefix stands behind `at` words.
        """
        cuts = [words if self.kind == "suffix" else at] * self.count
        if self.kind == "inserted":
            cuts = [round((i + 1) * words / (self.count + 1)) for i in range(self.count)]
        own = [(float(i), i) for i in range(1, words + 1) if self.kind != "replaced"]
        free = [(cut + 0.5, tokens + i) for i, cut in enumerate(cuts)]  # behind so many words
        end = 1 + words + (self.count if self.by_words else 0)
        rest = [min(end + i, tokens - 1) for i in range(tokens)]
        return [0, *(place for _, place in sorted(own + free)), *rest][:tokens]

    def heard(
        self, model: TextToImage, prompts: Sequence[str], values: Tensor, at: Sequence[int] | None = None
    ) -> Conditioning:
        """What the edited network hears of `prompts` with `values` (prompts, size, width) in the free places.

        A prefix stands behind so many tokens of each prompt as `at` says.
        """
        ids, lengths = model.tokenize(prompts), self._lengths(model, prompts)
        own, tokens = model.embed(ids), ids.shape[1]
        if self.kind == "added":
            size = values.shape[1]
            theirs = torch.arange(size) < torch.tensor(lengths)[:, None]  # a shorter prompt has none of the last
            added = values.to(own) * theirs[..., None].to(own)
            return model.encode(ids, embeddings=own + nn.functional.pad(added, (0, 0, 1, tokens - 1 - size)))
        cuts = at or [0] * len(lengths)
        places = torch.tensor([self.places(n, tokens, k) for n, k in zip(lengths, cuts, strict=True)], device=ids.device)
        word = int(model.ordinary[0])  # stands where a free token does: only the end counts
        ids = torch.cat([ids, ids.new_full((len(ids), self.count), word)], 1).gather(1, places)
        every = torch.cat([own, values.to(own)], 1)
        return model.encode(ids, embeddings=every.gather(1, places[..., None].expand(-1, -1, own.shape[2])))
