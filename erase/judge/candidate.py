"""This file is who is judged: a run, an edit, or any pipeline, with the model that it is held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from erase.concept import Concept
from erase.errors import BadInput
from erase.files import shortened
from erase.judge import Judge
from erase.model import source
from erase.model.edit import Edit
from erase.model.ledger import Ledger
from erase.model.retrained import Retrained
from erase.model.text_to_image import TextToImage

Load = Callable[[dict[str, Any] | None, str | None], TextToImage]
"""A model by the settings of the run that it comes from, if any, and the folder or hub id that it is to come from."""


@dataclass
class Candidate:
    """Someone to be judged. `settings` are those of the run that made the edit; empty for what no run has made."""

    name: str
    given: str  # what the user called it
    concepts: list[Concept]
    folder: Path | None = None  # of a run, where pictures and results go
    edit: Edit | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    stack: tuple[Edit, ...] = ()  # edits that stand together: `edit` is all of them, once there is a model

    @classmethod
    def find(cls, given: str, concepts: Sequence[Concept]) -> "Candidate":
        """What `given` means: a run folder, an edit's folder or file, else a pipeline. `concepts` are what is said to be
        erased: an edit knows that itself. BadInput for a run that is not finished."""
        path = Path(given).expanduser()
        file = path.suffix == ".safetensors" and path.is_file()
        if file and not path.with_name("edit.json").is_file() and source.holds_a_model(path):
            return cls(path.stem, given, list(concepts))
        if not file and not any((path / name).is_file() for name in ("edit.json", "status.json", "edit/edit.json")):
            if path.is_dir() and not (path / "model_index.json").is_file():
                raise BadInput(
                    f"run={given} holds no run (status.json), no edit (edit.json) and no pipeline (model_index.json)."
                )
            return cls(path.name if path.is_dir() else given.replace("/", "--"), given, list(concepts))
        edit = Edit.read(path) if file else Edit.load(path)
        told = [Concept.read(c) for c in edit.about.get("concepts", ())]
        run = path if (path / "status.json").is_file() else None
        where = path.resolve().parent if file else path.resolve()
        name = path.stem if file and path.stem != "edit" else (where.parent if where.name == "edit" else where).name
        return cls(name, given, list(concepts) or told, run, edit, edit.about.get("config", {}))

    @classmethod
    def stacked(cls, given: Sequence[str]) -> "list[Candidate]":
        """The edits of these runs or folders in one model, then each alone; all are asked about all that is erased.

        BadInput for what is no edit, or for less than two.
        """
        alone = [cls.find(name, ()) for name in given]
        edits = [one.edit for one in alone if one.edit]
        if not len(given) == len(edits) == len({edit.digest() for edit in edits}) > 1:
            raise BadInput(f"edits=[{', '.join(given)}] must be two or more edits, or runs that have made one, each once.")
        concepts = list(dict.fromkeys(concept for one in alone for concept in one.concepts))
        names = [concept.name for concept in concepts]
        for i, concept in enumerate(concepts):
            if concept.name in names[:i]:  # another, called the same
                concepts[i] = replace(concept, name=f"{concept.name} {i + 1}")
        together = cls(shortened("+".join(one.name for one in alone)), f"[{', '.join(given)}]", concepts, stack=(*edits,))
        together.settings = {**alone[0].settings, "seed": None} if alone[0].settings else {}
        return [replace(one, concepts=concepts) for one in (together, *alone)]

    def open(self, load: Load, base: str | None) -> tuple[TextToImage, TextToImage | None]:
        """The model that is judged, and the one that it is held against: of an edit both are one, whose weights move."""
        if not self.edit and not self.stack:
            at = Path(self.given).expanduser()
            here = str(at.resolve()) if at.exists() else self.given  # a folder called as what is shipped is no less a folder
            pair = load(None, here), load(None, base) if base else None
            for model in filter(None, pair):
                model.move(())  # in the precision that it is judged in, as an edit's is
            return pair
        if not self.settings and not base:
            raise BadInput(f"run={self.given} does not say what it was made for: base=<a pipeline's folder or a hub id>.")
        model = load(self.settings.get("model"), base)
        ledger = Ledger.of(model.pipe)
        ledger.order(model.pipe, self.stack or [edit for edit in (self.edit,) if edit])  # do they fit?
        self.edit = Edit.of(model.pipe)
        ledger.order(model.pipe, ())
        model.move(self.edit.tensors)
        model.put(self.edit.tensors)
        return model, model

    def truth(self, model: TextToImage, judge: Judge) -> Retrained | None:
        """The network that was trained without what an edit erases; None for a pipeline, whose base nobody knows."""
        return model.retrained(judge.named(self.concepts)) if self.edit else None
