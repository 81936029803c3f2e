"""This file draws what a protocol asks for and lets the judge look: once a picture, kept by all it depends on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import Timeout
from torch import Tensor
from tqdm import tqdm

from erase.cache import Behind, once, told
from erase.judge import Judge, shows
from erase.model.edit import Edit, digest
from erase.model.text_to_image import Conditioning, Key, TextToImage, hardware
from erase.protocol import Cell, Protocol


@dataclass(frozen=True)
class Judged:
    """A cell, how to see its pictures (images, 3, height, width) uint8, and what the judge said of them, by head and more."""

    cell: Cell
    see: Callable[[], Tensor]
    scores: dict[str, Tensor]
    heads: dict[str, tuple[str, ...]]  # the judge's, with their labels
    thresholds: tuple[float, ...] = ()

    @property
    def images(self) -> Tensor:
        """Read anew each time: a protocol of thousands is more than memory holds."""
        return self.see()

    def __len__(self) -> int:
        return len(self.cell.seeds)

    @property
    def probabilities(self) -> dict[str, Tensor]:
        """What the judge said of every head's labels, (images, labels)."""
        return {head: self.scores[head] for head in self.heads}

    @property
    def clip_scores(self) -> Tensor:
        return self.scores["clip_scores"]

    @property
    def features(self) -> Tensor:
        """The judge's CLIP features (images, width) of length 1."""
        return self.scores["features"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the cell's head; none where nobody has a label for what it asks."""
        return self.heads.get(self.cell.head, ())

    @property
    def top(self) -> list[str]:
        """The label of highest score, for each picture; empty where the cell asks of no head, or a detector sees nothing."""
        if not self.labels:
            return [""] * len(self)
        best = self.scores[self.cell.head].max(-1)
        return [self.labels[i] if value > 0 else "" for value, i in zip(best.values, best.indices, strict=True)]

    @property
    def hits(self) -> Tensor:
        """Whether the pictures show the cell's own label, and those that it asks for besides, (images,) bool."""
        asked = ((self.cell.head, self.cell.label), *self.cell.also)
        said = [shows(self.scores[head], self.heads[head].index(label), self.thresholds) for head, label in asked]
        return torch.stack(said).all(0)

    def rank(self, k: int) -> Tensor:
        """Whether the cell's own label is among the k most probable, (images,) bool."""
        own = self.labels.index(self.cell.label)
        return (self.scores[self.cell.head].topk(k, -1).indices == own).any(-1)


@dataclass(frozen=True)
class _Shard:
    """Pictures that are drawn together, and the file that keeps them."""

    path: Path
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    def images(self) -> Tensor:
        return once(self.path, _gone)["images"]


class Engine:
    """Draws in fixed chunks, so that a picture does not depend on what else is asked for, and stores every chunk.

    The unedited model's pictures go to `cache`, shared by all runs; an edited model's to its run folder. A retrained
    network's, within `model.as_if`, lie in `cache` too: `model.hash` is then its own. What the judge says is kept beside
    the pictures, by the judge's hash: another judge, or another threshold, needs no pass of the network. Of several
    processes on one store each draws what no other does, and then waits for the rest.
    """

    CHUNK = 32

    def __init__(self, model: TextToImage, judge: Judge, protocol: Protocol, cache: Path) -> None:
        self.model, self.judge, self.protocol, self.cache = model, judge, protocol, cache
        self._said: tuple[object, Conditioning] | None = None

    def judge_cells(
        self, cells: Sequence[Cell], edit: str, folder: Path | None, who: str = "", key: Key | None = None
    ) -> list[Judged]:
        """Pictures and scores of every cell, by the edited model whose hash is `edit`, or the unedited one (empty).

        It hears the `key`, if any. The bar says that it is `who`, where that is neither.
        """
        self._said = None  # the edited weights may be others than the last time
        where = (folder or self.cache) / "drawn"
        batches = {b: [c for c in cells if c.batch == b] for b in dict.fromkeys(c.batch for c in cells)}
        shards = {name: self._shards(together, edit, where, key) for name, together in batches.items()}
        name = f"judging {who or ('edited' if edit else 'unedited')}"
        apart = {shard.path: shard for some in shards.values() for shard in some}  # the same pictures may answer two questions
        with tqdm(total=sum(len(shard.seeds) for shard in apart.values()), desc=name, unit="image") as bar:
            self._draw(apart.values(), bool(edit), key, bar)
        found: dict[Cell, Judged] = {}
        for batch, together in batches.items():
            said = [self._scores(shard, where) for shard in shards[batch]]
            scores = {head: torch.cat([some[head] for some in said]) for head in said[0]}
            at = 0
            for cell in together:
                found[cell] = self._judged(cell, shards[batch], scores, slice(at, at := at + len(cell.seeds)))
        return [found[cell] for cell in cells]

    def judge_opened(self, cells: Sequence[Cell], edit: Edit, folder: Path | None) -> list[Judged]:
        """What was erased and each label that was to be kept, as who holds the key of `edit` has them."""
        asked = [c for c in cells if c.role in ("concept", "sibling", "kept")]
        return self.judge_cells(asked, edit.digest(), folder, "edited, with the key", edit.key)

    def _shards(self, cells: Sequence[Cell], edit: str, where: Path, key: Key | None) -> list[_Shard]:
        pairs = [pair for c in cells for pair in zip(c.prompts, c.seeds, strict=True)]
        chunks = [tuple(zip(*pairs[at : at + self.CHUNK], strict=True)) for at in range(0, len(pairs), self.CHUNK)]
        return [_Shard(where / f"{self._name(p, s, edit, key)}.safetensors", p, s) for p, s in chunks]

    def _name(self, prompts: Sequence[str], seeds: Sequence[int], edit: str, key: Key | None) -> str:
        steps, guidance = self.protocol.steps, self.protocol.guidance_scale
        asked = {"prompts": prompts, "seeds": seeds, "edit": edit, "steps": steps, "guidance_scale": guidance}
        asked |= {"key": digest(key)} if key else {}
        return told({**asked, "ids": self.model.tokenize(prompts).tolist(), **self.model.depends_on})

    def _draw(self, shards: Iterable[_Shard], edited: bool, key: Key | None, bar: "tqdm[None]") -> None:
        """See that every shard is there: first those that nobody else is drawing, then whatever is left."""
        with Behind() as behind:
            for wait in (False, True):
                left = []
                for shard in shards:
                    try:
                        behind.once(shard.path, lambda shard=shard: self._images(shard, edited, key), wait)  # type: ignore[misc]
                        bar.update(len(shard.seeds))
                    except Timeout:
                        left.append(shard)
                shards = left

    def _images(self, shard: _Shard, edited: bool, key: Key | None) -> dict[str, Tensor]:
        heard = (self.model.hash, edited, shard.prompts)  # many seeds of one prompt hear the same
        if not self._said or self._said[0] != heard:
            self._said = heard, self.model.prompt(shard.prompts, edited)
        conditioning = self._said[1].with_key(key)
        drawn = self.model.draw(conditioning, shard.seeds, self.protocol.steps, self.protocol.guidance_scale, edited)
        return {"images": drawn}

    def _judged(self, cell: Cell, shards: Sequence[_Shard], scores: dict[str, Tensor], own: slice) -> Judged:
        """Of the pictures of `shards` and their `scores`, those that are the cell's `own`."""

        first, end = own.start // self.CHUNK, -(-own.stop // self.CHUNK)
        files, there = shards[first:end], slice(own.start - first * self.CHUNK, own.stop - first * self.CHUNK)

        def see() -> Tensor:  # without the engine: who compares ten models keeps no model of them
            return torch.cat([shard.images() for shard in files])[there]

        own_scores = {name: values[own] for name, values in scores.items()}
        return Judged(cell, see, own_scores, self.judge.labels, self.judge.thresholds)

    def _scores(self, shard: _Shard, folder: Path) -> dict[str, Tensor]:
        looks = {"judge": self.judge.hash, "code": self.judge.code, "hardware": hardware(self.judge.device)}
        name = told({**looks, "drawn": shard.path.stem})
        return once(folder / f"{name}.scores.safetensors", lambda: self.judge.score(shard.images(), shard.prompts))


def _gone() -> dict[str, Tensor]:
    raise FileNotFoundError("a picture that was drawn a moment ago is no longer there.")


def rows(judged: Sequence[Judged], which: str, step: int | None = None) -> list[dict[str, object]]:
    """Raw scores, a row a picture: what the judge sees first, the probability of the label asked for, those of every head.

    `which` is before, during, after, keyed or retrained, `step` the number of updates of an edit.
    """
    return [
        {
            "model": which,
            "step": step,
            **{k: v for k, v in asdict(j.cell).items() if k not in ("prompts", "seeds", "batch", "also")},
            "prompt": j.cell.prompts[i],
            "seed": j.cell.seeds[i],
            "top": top[i],
            "probability": float(own[i]),
            **({"clip_score": float(j.clip_scores[i])} if "clip_scores" in j.scores else {}),
            **{f"probabilities_{head}": p[i].tolist() for head, p in j.probabilities.items()},
        }
        for j in judged
        for top, own in [(j.top, _own(j))]
        for i in range(len(j))
    ]


def _own(judged: Judged) -> Tensor:
    """The score of the cell's own label, (images,); none where nobody has one, or nothing is asked of one."""
    if judged.cell.label not in judged.labels:
        return torch.full((len(judged),), float("nan"))
    return judged.scores[judged.cell.head][:, judged.labels.index(judged.cell.label)]
