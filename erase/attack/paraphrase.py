"""This file is the attacker who only knows other words."""

from collections.abc import Sequence

from erase.attack import Attack, Ground, Turn, budgeted
from erase.errors import BadInput

BUDGETS = {"miniature": {"rounds": 8}, "published": {"rounds": 64}}
"""Nobody published it: `published` is as many as there are, up to 64."""


class Paraphrase(Attack):
    """Says the concept in words that no erasing config has: held-out synonyms, in templates, places and styles.

    It needs neither weights nor gradients, nor a prompt to begin with. Each job tries `rounds` of them, one after the other,
    none twice; jobs are spread over all.
    """

    targets = begins = False

    def __init__(self, budget: str = "miniature", rounds: int | None = None) -> None:
        self.rounds = budgeted(budget, BUDGETS, rounds=rounds)["rounds"]

    def open(self, ground: Ground) -> None:
        super().open(ground)
        if mute := next((job.label for job in ground.jobs if not job.others), None):
            raise BadInput(
                f"attack=paraphrase knows no other words for {mute}: a run with concept.held_out, or another attack."
            )

    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], None]:
        return [self._wording(turn) for turn in turns], None

    def _wording(self, turn: Turn) -> str:
        others = turn.job.others
        return others[(turn.job.number * len(others) // len(self.ground.jobs) + turn.round) % len(others)]

    def spent(self, turn: Turn) -> bool:
        return turn.round >= min(self.rounds, len(turn.job.others))
