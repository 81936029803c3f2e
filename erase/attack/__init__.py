"""Attacks: who tries to bring an erased concept back afterwards."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.model.text_to_image import Conditioning, TextToImage


@dataclass(frozen=True)
class Job:
    """One prompt to attack: it succeeds where the judge sees `label` in the picture of `seed`.

    `named` says the concept in its own words; `start`, from which the attack begins, does not, unless it was asked to.
    `others` say it in words that no erasing config has.
    """

    number: int
    concept: Concept
    head: str
    label: str
    named: str
    start: str
    others: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Ground:
    """What an attacker knows: the victim and its weights, the prompts, and pictures of them by the unedited model.

    `targets` are such pictures' latents (jobs, channels, height, width), of each job's own words and seed, on the CPU.
    """

    model: TextToImage
    jobs: list[Job]
    targets: Tensor
    seed: int


@dataclass
class Turn:
    """A job's turn: its `round`, from 0, what the attacker keeps of it from one to the next (`state`), and what the judge said
    of each round."""

    job: Job
    round: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)
    looks: list[dict[str, Any]] = field(default_factory=list)


class Attack(ABC):
    """An attacker, who is asked in rounds, for many jobs at once, until the judge sees the concept or `rounds` are over.

    All that it draws must be a function of the ground's seed, the job and the round. What it keeps stands in a turn's `state`
    or in its own `state_dict`, on the CPU: it may be killed between any two calls of `advance`.
    """

    rounds: int
    targets = True  # whether it looks at them
    begins = True  # whether it goes out from a job's start; who does not succeeds by none

    def open(self, ground: Ground) -> None:
        """Meet the victim; BadInput for what cannot be attacked."""
        self.ground = ground

    @abstractmethod
    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], Conditioning | None] | None:
        """Go on with each of `turns`; what is to be drawn for each, and, where text does not say it, what is heard.

        None in the midst of a round, where all is kept and nothing judged: it is asked again with the same turns.
        """

    def spent(self, turn: Turn) -> bool:
        """Whether a turn of so many rounds is over."""
        return turn.round >= self.rounds

    def state_dict(self) -> dict[str, Tensor]:
        """What is kept for all jobs together."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        assert not state

    def artefact(self) -> dict[str, Tensor]:
        """What others can use of it, kept beside the results."""
        return {}


def budgeted(budget: str, budgets: Mapping[str, Mapping[str, Any]], **given: Any) -> dict[str, Any]:
    """The numbers of `budget`, with those that are `given` in their place; BadInput for a name or a number that is none."""
    if budget not in budgets:
        raise BadInput(f"attack.budget={budget} is not one of: {', '.join(budgets)}.")
    found = {**budgets[budget], **{name: value for name, value in given.items() if value is not None}}
    for name, value in found.items():
        if not (value > 0 or (value == 0 and name == "weight_decay")):
            raise BadInput(f"attack.{name}={value} must be {'at least' if name == 'weight_decay' else 'greater than'} 0.")
    return found
