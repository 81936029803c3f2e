"""This file is the attacker who only knows other words."""

from collections.abc import Sequence

from erase.attack import Attack, Ground, Turn, budgeted
from erase.errors import BadInput

BUDGETS = {"miniature": {"rounds": 8}, "published": {"rounds": 64}}
"""Nobody published it: `published` is as many as there are, up to 64."""


class Paraphrase(Attack):
    """Says the concept in words that no erasing config has: held-out synonyms, in templates, places and styles.

    It needs neither weights nor gradients. Each job begins at another of them and tries `rounds`, one after the other.
    """

    targets = False

    def __init__(self, budget: str = "miniature", rounds: int | None = None) -> None:
        self.rounds = budgeted(budget, BUDGETS, rounds=rounds)["rounds"]

    def open(self, ground: Ground) -> None:
        super().open(ground)
        if mute := next((job.label for job in ground.jobs if not job.others), None):
            raise BadInput(f"attack=paraphrase knows no other words for {mute}: attack=unlearn_diff or concept_inversion.")

    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], None]:
        return [t.job.others[(t.job.number + t.round * len(self.ground.jobs)) % len(t.job.others)] for t in turns], None
