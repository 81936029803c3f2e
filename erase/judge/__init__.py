"""Judges: networks that look at a picture and say what it shows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.files import source_hash
from erase.judge.zero_shot import Question, ZeroShots

if TYPE_CHECKING:
    from erase.model.text_to_image import TextToImage


class Judge(ABC):
    """Who says what a picture shows, in raw scores: they are kept, and every threshold and figure is made from them alone.

    `hash` is of all that its scores depend on besides picture and prompt. `thresholds` are no part of it: none where the
    label of the highest score counts, one that a label's probability must reach, or several at which a detector's are counted.
    """

    name: str
    version: str
    hash: str
    thresholds: tuple[float, ...] = ()
    device = torch.device("cpu")
    reads = False
    """Whether it knows pictures from words: its scores have `clip_scores` and `features`."""

    @property
    @abstractmethod
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels of every head."""

    @abstractmethod
    def label(self, phrase: str) -> tuple[str, str] | None:
        """Head and label that a phrase speaks of; None where the judge has none."""

    @abstractmethod
    def score(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Scores of uint8 `images` (batch, 3, height, width), drawn from `prompts`, a row a picture, fp32 on the CPU.

        By head (batch, labels), the higher the surer; and where the judge knows pictures from words, `clip_scores` (batch,),
        100 · cosine between picture and prompt, and `features` (batch, width), of length 1.
        """

    def among(self, questions: Sequence[Question]) -> Self:
        """Told what will be asked: concepts, and the prompts of labels they are to be told from. Who needs no telling
        gives itself."""
        return self

    def suit(self, model: "TextToImage") -> None:  # noqa: B027
        """BadInput where it knows nothing of what such a model draws."""

    def to(self, device: torch.device) -> Self:
        """Look from now on with `device`, if it can."""
        return self

    def named(self, concepts: Sequence[Concept]) -> set[str | None]:
        """The labels that `concepts` speak of; None among them where a prompt speaks of no label."""
        labels = {found[1] for c in concepts for phrase in c.phrases if (found := self.label(phrase))}
        return labels | {None for c in concepts for prompt in c.prompts if self.label(prompt) is None}

    @property
    def code(self) -> str:
        """Hash of the files that say how it looks. A judge that was typed into a session has none: its `hash` must say all."""
        return source_hash(type(self), ZeroShots)

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of its judge."""
        said = {"name": self.name, "version": self.version, "hash": self.hash}
        return {**said, "classes": {h: list(names) for h, names in self.labels.items()}, "thresholds": list(self.thresholds)}


def shows(scores: Tensor, label: int, thresholds: Sequence[float]) -> Tensor:
    """Whether pictures of a head's `scores` (…, labels) show its `label`, (…,) bool.

    They do where it is top-1; for a judge with `thresholds`, where its probability reaches the first.
    """
    return scores[..., label] >= thresholds[0] if thresholds else scores.argmax(-1) == label


def loaded(kind: Any, source: str, revision: str | None, what: str, **more: Any) -> Any:
    """`kind` of transformers' from a folder or the hub; BadInput where that is not `what` it is to be."""
    try:
        return kind.from_pretrained(source, revision=revision, **more)
    except (OSError, ValueError) as e:
        raise BadInput(f"judge.source={source} does not load as {what}: {str(e).strip().splitlines()[0]}") from e


def check_thresholds(threshold: float | None) -> tuple[float, ...]:
    """One that a probability must reach, or none. BadInput for what is no probability."""
    if threshold is not None and not 0 < threshold < 1:
        raise BadInput(f"judge.threshold={threshold} must be between 0 and 1, or null: the label of the highest score counts.")
    return () if threshold is None else (threshold,)
