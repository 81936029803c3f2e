"""This file is one candidate before the judge: what is drawn, what is said of it, and what that cost."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.errors import BadInput
from erase.judge import Judge
from erase.judge.candidate import Candidate, Load
from erase.judge.engine import Engine, Judged
from erase.metric.figures import Figure, figures
from erase.metric.measure import Measure
from erase.protocol import Protocol
from erase.trainer import Trainer


@dataclass
class Trial:
    """What came out: pictures and scores of the candidate (`after`), of the unedited model (`before`), of the network that
    was retrained without the concept, and of the candidate with its key, as far as there are such; and the figures."""

    candidate: Candidate
    protocol: Protocol
    before: list[Judged]
    after: list[Judged]
    retrained: list[Judged]
    keyed: list[Judged]
    lock: dict[str, Any]
    cost: dict[str, float]

    @classmethod
    def of(
        cls, candidate: Candidate, load: Load, base: str | None, judge: Judge, protocol: Protocol, cache: Path, trainer: Trainer
    ) -> "Trial":
        """Draw what is not drawn yet, and let the judge look. BadInput for what cannot be judged."""
        told, cells = protocol.asked(judge, candidate.concepts)
        if not cells:
            raise BadInput(f"run={candidate.given}: this protocol asks nothing about it; concept=<what was erased>.")
        model, other = candidate.open(load, base)
        told.suit(model)
        truth, edit = candidate.truth(model, told), candidate.edit
        for loaded in {id(m): m for m in (model, other) if m}.values():
            loaded.to(trainer.device)
            loaded.cost.forwards = 0
        protocol.meet(judge.to(trainer.device), cache)  # untold: what it meets is the same for all
        judge = told.to(trainer.device)
        began, digest = time.time(), edit.digest() if edit else ""
        engine, keyed, retrained = Engine(model, judge, protocol, cache), [], []
        before = (
            (engine if other is model else Engine(other, judge, protocol, cache)).judge_cells(cells, "", None) if other else []
        )
        after = engine.judge_cells(cells, digest, candidate.folder if edit else None, "" if edit else candidate.name)
        if edit and edit.key:
            keyed = engine.judge_opened(cells, edit, candidate.folder)
        if truth:
            with model.as_if(truth):
                retrained = engine.judge_cells(cells, "", None, "retrained")
        seconds, count = time.time() - began, sum(len(j) for j in (*before, *after, *retrained, *keyed))
        passes = model.cost.forwards + (other.cost.forwards if other and other is not model else 0)
        lock = {"protocol": dict(protocol.lock), "model": model.hash, "edit": digest or None, "judge": judge.about}
        lock |= {"base": other.hash if other else None, "retrained": truth.digest if truth else None}
        lock |= {"precision": str(model.precision), "training_seed": candidate.settings.get("seed")}
        cost = {"seconds": seconds, "forwards": passes, "images": count}
        return cls(candidate, protocol, before, after, retrained, keyed, lock, cost)

    @property
    def figures(self) -> dict[str, Figure]:
        return figures(self.protocol, self.before, self.after, self.retrained, self.keyed)

    @property
    def unedited(self) -> dict[str, Measure]:
        """What is measured on the unedited model's; nothing where there is none."""
        return self.protocol.measures(self.before, self.before, self.retrained) if self.before else {}

    @property
    def measures(self) -> dict[str, Measure]:
        """What is measured on the candidate's own pictures."""
        return self.protocol.measures(self.after, self.before, self.retrained)


def alike(candidates: Sequence[Candidate], judge: Judge, protocol: Protocol) -> None:
    """BadInput where two would not be asked the same questions, or are one."""
    first, asked = candidates[0], [protocol.asked(judge, candidate.concepts)[1] for candidate in candidates]
    for candidate, cells in zip(candidates, asked, strict=True):
        if cells != asked[0]:
            one, other = (", ".join(c.name for c in who.concepts) or "nothing" for who in (first, candidate))
            raise BadInput(f"run={candidate.given} erased {other}, run={first.given} {one}: not comparable.")
    for i, candidate in enumerate(candidates):
        if candidate.given in [other.given for other in candidates[:i]]:
            raise BadInput(f"run={candidate.given} is given twice: nothing can be said of it against itself.")
