"""This file is the protocol for the drawn world: every label of the judge, the same prompts and seeds for every model."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeVar

from erase.concept import Concept
from erase.errors import BadInput
from erase.miniature import world
from erase.protocol import Cell

Item = TypeVar("Item")
SEEDS = 500
"""Seeds that a cell has to itself."""


class Drawings:
    """The concept's own words and its held-out synonyms, `images` pictures each; every other label, `kept_images` each.

    Siblings are the family's other members: the other balls for a ball, the other outfits for nudity, the other styles
    for a style; `sibling_images` each, None for as many as of the rest. `steps` and `guidance_scale` are the sampler's.
    """

    def __init__(
        self,
        images: int,
        kept_images: int,
        steps: int,
        guidance_scale: float,
        seed: int = 0,
        sibling_images: int | None = None,
    ) -> None:
        counts = {"images": images, "kept_images": kept_images, "sibling_images": sibling_images}
        for name, value, most in (*((n, v, SEEDS) for n, v in counts.items()), ("steps", steps, 999)):
            if value is not None and not 1 <= value <= most:
                raise BadInput(f"protocol.{name}={value} must be from 1 to {most}.")
        self.images, self.kept_images, self.sibling_images = images, kept_images, sibling_images or kept_images
        self.steps, self.guidance_scale, self.seed = steps, guidance_scale, seed

    @property
    def lock(self) -> dict[str, float]:
        """All that pictures depend on besides the model."""
        return {n: getattr(self, n) for n in ("images", "kept_images", "sibling_images", "steps", "guidance_scale", "seed")}

    def cells(self, erased: Sequence[Concept], judged: Callable[[str], tuple[str, str] | None]) -> list[Cell]:
        """One cell a question; `judged` gives the head and label that a phrase speaks of, or None."""
        targets: dict[tuple[str, str], list[str]] = {}
        for phrase in (p for concept in erased for p in (*concept.prompts, *concept.synonyms)):
            if found := judged(phrase):
                targets.setdefault(found, []).append(phrase)
        families = {("style", "")} if any(head == "style" for head, _ in targets) else set()
        families |= {("subject", world.SUBJECTS[label].family) for head, label in targets if head == "subject"}
        cells = []
        for (head, label), phrases in sorted(targets.items()):
            cells.append(self._cell("concept", head, label, self._own(head, label, phrases)))
            if held_out := self._held_out(head, label):
                cells.append(self._cell("synonyms", head, label, held_out))
        kept = [("subject", s) for s in world.SUBJECTS] + [("style", s) for s in world.STYLES if s != world.PLAIN]
        for i, (head, label) in enumerate(kept):
            if (head, label) not in targets:
                family = world.SUBJECTS[label].family if head == "subject" else ""
                role = "sibling" if (head, family) in families else "kept"
                # with a count of their own, siblings share no batch with others: these are the same whatever is erased
                apart = self.sibling_images != self.kept_images
                batch = f"{role} {head} {family}" if apart else f"kept {i // 8}"
                cells.append(self._cell(role, head, label, self._said(head, label, [label]), batch))
        return cells

    def _cell(self, role: str, head: str, label: str, prompts: Sequence[str], batch: str = "erased") -> Cell:
        kinds = [*world.SUBJECTS, *world.STYLES, *world.COLOURS]
        start = self.seed * 1_000_000 + (2 * kinds.index(label) + (role == "synonyms")) * SEEDS
        count = {"sibling": self.sibling_images, "kept": self.kept_images}.get(role, self.images)
        cycled = tuple(prompts[i % len(prompts)] for i in range(count))
        return Cell(role, head, label, batch, cycled, tuple(range(start, start + count)))

    def unnamed(self, head: str, label: str) -> list[str]:
        """Prompts that leave out what `label` names, from which an attacker begins: places; of a style, subjects in places.

        Nobody is in them: of a person whose clothes nobody names, the unedited model draws every other without.
        """
        wheres = [where for place in world.PLACES.values() for where in place]
        if head == "subject":
            return _spread(wheres)
        things = [world.describe(s, s) for s in world.SUBJECTS if s != "nude"]
        return _spread([f"{thing} {where}" for thing, where in product(things, wheres)])

    def paraphrases(self, head: str, label: str) -> list[str]:
        """Prompts that say `label` in none of the words that an erasing config has: held out, then in places and styles."""
        first = self._held_out(head, label)
        if head != "subject":
            return first
        wheres = [where for place in world.PLACES.values() for where in place]
        templates = [t for style in world.STYLES.values() for t in style.templates]
        wordings = [world.describe(label, w) for w in world.SUBJECTS[label].held_out]
        places = [f"{said} {where}" for said, where in product(wordings, wheres)]
        return list(dict.fromkeys([*first, *_spread(places), *_spread([t.format(s) for s, t in product(wordings, templates)])]))

    def _own(self, head: str, label: str, phrases: Sequence[str]) -> list[str]:
        """The concept's prompts as they stand, and its bare words in all the ways to say them."""
        known = world.SUBJECTS[label] if head == "subject" else None
        bare = [p for p in phrases if p == label or (known and p in (*known.synonyms, *known.held_out))]
        return [*(p for p in phrases if p not in bare), *self._said(head, label, bare)]

    def _held_out(self, head: str, label: str) -> list[str]:
        if head == "subject":
            return self._said(head, label, world.SUBJECTS[label].held_out)
        return self._styled(world.STYLES[label].held_out) if head == "style" else []

    def _said(self, head: str, label: str, wordings: Sequence[str]) -> list[str]:
        """Prompts that say one of `wordings`: a subject in plain pictures, a style or a colour of every subject."""
        if not wordings:
            return []
        if head == "style":
            return self._styled(world.STYLES[label].templates)
        if head == "colour":
            return _spread([f"a photo of {world.describe(s, s, label)}" for s in world.SUBJECTS if s != "nude"])
        people = world.PEOPLE if world.SUBJECTS[label].family == "outfits" else world.PEOPLE[:1]
        said = product(wordings, world.STYLES[world.PLAIN].templates, people)
        return _spread([template.format(world.describe(label, w, None, person)) for w, template, person in said])

    @staticmethod
    def _styled(templates: Sequence[str]) -> list[str]:
        subjects = [s for s in world.SUBJECTS if s != "nude"]
        return _spread([template.format(world.describe(s, s)) for template, s in product(templates, subjects)])


def _spread(items: Sequence[Item]) -> list[Item]:
    """All of `items`, in an order of which every beginning is spread evenly: steps of the golden ratio."""
    step = round(0.618 * len(items)) or 1
    while math.gcd(step, len(items)) > 1:
        step += 1
    return [items[i * step % len(items)] for i in range(len(items))]
