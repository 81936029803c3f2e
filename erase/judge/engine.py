"""This file draws what a protocol asks for and lets the judge look: once a picture, kept by all it depends on."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from erase.cache import once, told
from erase.judge.drawings import Drawings as Judge
from erase.model.edit import digest
from erase.model.text_to_image import Key, TextToImage, hardware
from erase.protocol import Cell
from erase.protocol.drawings import Drawings as Protocol


@dataclass(frozen=True)
class Judged:
    """A cell, its pictures (images, 3, height, width) uint8, and what the judge said of them."""

    cell: Cell
    images: Tensor
    probabilities: dict[str, Tensor]
    clip_scores: Tensor
    labels: tuple[str, ...]  # of the cell's head

    @property
    def top(self) -> list[str]:
        """The label of highest probability, for each picture."""
        return [self.labels[i] for i in self.probabilities[self.cell.head].argmax(-1)]

    @property
    def hits(self) -> Tensor:
        """Whether the cell's own label is top-1, (images,) bool."""
        return self.rank(1)

    def rank(self, k: int) -> Tensor:
        """Whether the cell's own label is among the k most probable, (images,) bool."""
        own = self.labels.index(self.cell.label)
        return (self.probabilities[self.cell.head].topk(k, -1).indices == own).any(-1)


class Engine:
    """Draws in fixed chunks, so that a picture does not depend on what else is asked for, and stores every chunk.

    The unedited model's pictures go to `cache`, shared by all runs; an edited model's to its run folder. A retrained
    network's, within `model.as_if`, lie in `cache` too: `model.hash` is then its own.
    """

    CHUNK = 32

    def __init__(self, model: TextToImage, judge: Judge, protocol: Protocol, cache: Path) -> None:
        self.model, self.judge, self.protocol, self.cache = model, judge, protocol, cache

    def _images(self, prompts: Sequence[str], seeds: Sequence[int], edit: str, folder: Path, key: Key | None) -> Tensor:
        steps, guidance = self.protocol.steps, self.protocol.guidance_scale
        asked = {"prompts": prompts, "seeds": seeds, "edit": edit, "steps": steps, "guidance_scale": guidance}
        asked |= {"key": digest(key)} if key else {}
        what = {**asked, "ids": self.model.tokenize(prompts).tolist(), **self.model.depends_on}

        def draw() -> dict[str, Tensor]:
            return {"images": self.model.images(prompts, seeds, steps, guidance, edited=bool(edit), key=key)}

        return once(folder / f"{told(what)}.safetensors", draw)["images"]

    def judge_cells(
        self, cells: Sequence[Cell], edit: str, folder: Path | None, who: str = "", key: Key | None = None
    ) -> list[Judged]:
        """Pictures and scores of every cell, by the edited model whose hash is `edit`, or the unedited one (empty).

        It hears the `key`, if any. The bar says that it is `who`, where that is neither.
        """
        where = (folder or self.cache) / "drawn"
        found: dict[Cell, Tensor] = {}
        with tqdm(
            total=sum(len(c.seeds) for c in cells), desc=f"judging {who or ('edited' if edit else 'unedited')}", unit="image"
        ) as bar:
            for batch in dict.fromkeys(c.batch for c in cells):
                together = [c for c in cells if c.batch == batch]
                pairs = [pair for c in together for pair in zip(c.prompts, c.seeds, strict=True)]
                parts = []
                for at in range(0, len(pairs), self.CHUNK):
                    prompts, seeds = zip(*pairs[at : at + self.CHUNK], strict=True)
                    parts.append(self._images(prompts, seeds, edit, where, key))
                    bar.update(len(seeds))
                images = torch.cat(parts).split([len(c.seeds) for c in together])
                found.update(zip(together, images, strict=True))
        return [self._judged(cell, found[cell], where) for cell in cells]

    def _judged(self, cell: Cell, images: Tensor, folder: Path) -> Judged:
        what = f"{self.judge.hash} {cell.prompts} {hardware(torch.device('cpu'))}"
        seen = hashlib.sha256(what.encode() + images.numpy().tobytes()).hexdigest()[:32]

        def judge() -> dict[str, Tensor]:
            scores = self.judge.clip_scores(images, cell.prompts, self.model)
            return {"clip_scores": scores, **self.judge.probabilities(images)}

        said = once(folder / f"{seen}.scores.safetensors", judge)
        clip_scores = said.pop("clip_scores")
        return Judged(cell, images, said, clip_scores, self.judge.labels[cell.head])


def rows(judged: Sequence[Judged], which: str, step: int | None = None) -> list[dict[str, object]]:
    """Raw scores, a row a picture: what the judge sees first, the probability of the label asked for, those of every head.

    `which` is before, during, after, keyed or retrained, `step` the number of updates of an edit.
    """
    return [
        {
            "model": which,
            "step": step,
            **{k: v for k, v in asdict(j.cell).items() if k not in ("prompts", "seeds", "batch")},
            "prompt": j.cell.prompts[i],
            "seed": j.cell.seeds[i],
            "top": top[i],
            "probability": float(own[i]),
            "clip_score": float(j.clip_scores[i]),
            **{f"probabilities_{head}": p[i].tolist() for head, p in j.probabilities.items()},
        }
        for j in judged
        for top, own in [(j.top, j.probabilities[j.cell.head][:, j.labels.index(j.cell.label)])]
        for i in range(len(j.cell.seeds))
    ]
