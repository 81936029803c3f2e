"""This file is the protocol for the drawn world: every label of the judge, the same prompts and seeds for every model."""

from collections.abc import Sequence

from erase.concept import Concept
from erase.errors import BadInput
from erase.miniature import world
from erase.protocol import Cell


class Drawings:
    """`images` pictures a label: the concept's own words, its held-out synonyms, its siblings, all that is to be kept.

    Siblings are the family's other members: the other balls for a ball, the other outfits for nudity, the other styles
    for a style. `steps` and `guidance_scale` are those of the sampler.
    """

    def __init__(self, images: int, steps: int, guidance_scale: float, seed: int = 0) -> None:
        for name, value in (("images", images), ("steps", steps)):
            if value < 1:
                raise BadInput(f"protocol.{name}={value} must be at least 1.")
        self.images, self.steps, self.guidance_scale, self.seed = images, steps, guidance_scale, seed

    @property
    def lock(self) -> dict[str, float]:
        """All that pictures depend on besides the model."""
        return {n: getattr(self, n) for n in ("images", "steps", "guidance_scale", "seed")}

    def cells(self, erased: Sequence[tuple[Concept, tuple[str, str] | None]]) -> list[Cell]:
        """One cell a question, for concepts with the judge's head and label (None: not judged)."""
        targets = {label for _, label in erased if label}
        families = {("style", "")} if any(head == "style" for head, _ in targets) else set()
        families |= {("subject", world.SUBJECTS[label].family) for head, label in targets if head == "subject"}
        found = []
        for head, label in sorted(targets):
            own, held_out = self._wordings(head, label)
            found.append(self._cell("concept", head, label, own))
            if held_out:
                found.append(self._cell("synonyms", head, label, held_out))
        kept = [("subject", s) for s in world.SUBJECTS] + [("style", s) for s in world.STYLES if s != world.PLAIN]
        for head, label in kept:
            if (head, label) not in targets:
                family = world.SUBJECTS[label].family if head == "subject" else ""
                role = "sibling" if (head, family) in families else "kept"
                found.append(self._cell(role, head, label, self._plain(head, label), f"kept {kept.index((head, label)) // 4}"))
        return found

    def _cell(self, role: str, head: str, label: str, wordings: Sequence[str], batch: str = "erased") -> Cell:
        kinds = [*world.SUBJECTS, *world.STYLES, *world.COLOURS]
        start = self.seed * 1_000_000 + kinds.index(label) * 1000 + (500 if role == "synonyms" else 0)
        prompts = tuple(wordings[i % len(wordings)] for i in range(self.images))
        return Cell(role, head, label, batch, prompts, tuple(range(start, start + self.images)))

    @staticmethod
    def _said(subject: str, wordings: Sequence[str]) -> list[str]:
        """Wordings of a subject in plain pictures, each template and each kind of person in turn."""
        templates, people = world.STYLES[world.PLAIN].templates, world.PEOPLE
        count = len(wordings) * len(templates)
        return [
            templates[i % len(templates)].format(
                world.describe(subject, wordings[i % len(wordings)], None, people[(i + i // len(people)) % len(people)])
            )
            for i in range(count)
        ]

    @staticmethod
    def _styled(templates: Sequence[str]) -> list[str]:
        subjects = list(world.SUBJECTS)
        count = len(subjects) * len(templates)
        picks = [subjects[(5 * i) % len(subjects)] for i in range(count)]
        return [templates[i % len(templates)].format(world.describe(s, s)) for i, s in enumerate(picks) if s != "nude"]

    def _plain(self, head: str, label: str) -> list[str]:
        return self._styled(world.STYLES[label].templates) if head == "style" else self._said(label, [label])

    def _wordings(self, head: str, label: str) -> tuple[list[str], list[str]]:
        if head == "style":
            style = world.STYLES[label]
            return self._styled(style.templates), self._styled(style.held_out) if style.held_out else []
        if head == "colour":
            things = [s for s in world.SUBJECTS if s != "nude"]
            return [f"a photo of {world.describe(s, s, label)}" for s in things], []
        subject = world.SUBJECTS[label]
        held_out = self._said(label, subject.held_out) if subject.held_out else []
        return self._said(label, (subject.name, *subject.synonyms)), held_out
