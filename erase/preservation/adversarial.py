"""This file is adversarial preservation: find the concepts that the edit hurts most, and hold those."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.model.words import states
from erase.preservation import FILTERS, Kept, pool
from erase.preservation.game import Besides, Game, Search
from erase.preservation.gradient import Gradient
from erase.preservation.gumbel import Gumbel
from erase.preservation.near import near
from erase.preservation.scored import Scored
from erase.task import Task

SEARCHES = ("scored", "gumbel", "gradient")


class Adversarial:
    """EAP's inner maximum (Bui et al. 2024), c_a = argmax over R of ‖ε_θ'(c_a) − ε_θ(c_a)‖², found by a `search`.

    R are the words of a vocabulary, less what `filter` leaves out, of each erased concept the `closest` alone, of these
    `centres` that stand for the others. What else a search needs is its own: see its class.
    """

    def __init__(
        self,
        weight: float = 1.0,
        search: str = "scored",
        every: int = 25,
        points: int = 2,
        keep: int = 4,
        memory: float = 0.5,
        search_lr: float | None = None,
        search_steps: int | None = None,
        temperature: float = 2.0,
        hard: bool = True,
        top: int | None = None,
        vocabulary: str | None = None,
        filter: str = "words",
        closest: int | None = None,
        centres: int | None = None,
        rows: int = 64,
    ) -> None:
        counts = {"every": every, "points": points, "keep": keep, "search_steps": search_steps, "rows": rows}
        for name, value in {**counts, "top": top, "closest": closest, "centres": centres}.items():
            if value is not None and value < 1:
                raise BadInput(f"preservation.{name}={value} must be at least 1.")
        for name, rate in (("search_lr", search_lr), ("temperature", temperature)):
            if rate is not None and not rate > 0:
                raise BadInput(f"preservation.{name}={rate} must be greater than 0.")
        if weight < 0:
            raise BadInput(f"preservation.weight={weight} must not be negative.")
        if not 0 <= memory < 1:
            raise BadInput(f"preservation.memory={memory} must be at least 0 and less than 1.")
        for name, choice, known in (("search", search, SEARCHES), ("filter", filter, FILTERS)):
            if choice not in known:
                raise BadInput(f"preservation.{name}={choice} is not one of: {', '.join(known)}.")
        searches: dict[str, Search] = {
            "scored": Scored(every, points, keep, memory, rows),
            "gumbel": Gumbel(search_lr or 1e-2, search_steps or 1, temperature, hard, top, every),
            "gradient": Gradient(search_lr or 0.1, search_steps or 10, keep, every),
        }
        self.weight, self.search = weight, searches[search]
        self.file, self.filter, self.closest, self.centres, self.rows = vocabulary, filter, closest, centres, rows
        self.besides: Besides | None = None  # a method's, if it uses what is chosen for more than to hold it

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        return pool(self.file, vocabulary, erased, self.filter)

    def open(self, task: Task, candidates: Sequence[str]) -> None:
        kept = near(task.model, candidates, task.concepts, self.closest, self.centres, self.rows)
        some = kept.any(0)
        left = [c for c, stays in zip(candidates, some, strict=True) if stays]
        said = states(task.model, left, self.rows)
        self.search.open(Game(task, left, kept[:, some], said, self.weight, self.besides))

    def choose(self, step: int, count: int) -> Kept:
        return self.search.choose(step, count)

    @property
    def settled(self) -> list[str] | None:
        return None

    def chosen(self) -> dict[str, Any] | None:
        news, self.search.news = self.search.news, None
        return news

    def state_dict(self) -> dict[str, Tensor]:
        return self.search.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.search.load_state_dict(state)
