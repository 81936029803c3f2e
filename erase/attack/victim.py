"""This file is who is attacked: the edited model of a run, the unedited one, or the one that never saw the concept."""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from erase.attack import Attack, Ground, Job
from erase.attack.siege import Siege, same
from erase.cache import once, told
from erase.concept import Concept, says
from erase.errors import BadInput, Busy
from erase.files import whole
from erase.judge import Judge
from erase.model.edit import Edit
from erase.model.text_to_image import TextToImage
from erase.protocol.drawings import Drawings as Protocol
from erase.record.key import code_of
from erase.record.tracking import Tracker
from erase.trainer import Trainer

VICTIMS = ("edited", "unedited", "retrained")


@dataclass(frozen=True)
class Plan:
    """What is done to each victim: the `attack` of this name with these `fields`, whose files are called `name`.

    It begins where `start` says, with `batch` prompts at once; what it draws is drawn by `seed`.
    """

    name: str
    attack: str
    fields: Mapping[str, Any]
    start: str
    batch: int
    seed: int


class Victims:
    """The three models of one run, and an attack on each, as it is planned. `load` loads the unedited model, `make` makes an
    attack.

    The edited model's results lie in the run's `attacks/`. Those of the others are the same for all runs of the concept: they
    are made in the `cache`, by whoever comes first, and copied. `protocol` has the prompts, its `images` of each concept.
    """

    def __init__(
        self,
        folder: Path,
        edit: Edit,
        plan: Plan,
        protocol: Protocol,
        judge: Judge,
        trainer: Trainer,
        load: Callable[[], TextToImage],
        make: Callable[[], Attack],
        cache: Path,
    ) -> None:
        self.folder, self.edit, self.plan, self.protocol, self.cache = folder, edit, plan, protocol, cache
        self.load, self.make = load, make
        self.start = plan.start if make().begins else "none"  # a wrong number is refused here
        self.device, self.precision = trainer.device, trainer.precision
        concepts = [Concept.read(c) for c in edit.about["concepts"]]
        self.judge = judge.among(protocol.questions(concepts)).to(self.device)
        self.jobs = jobs(concepts, protocol, self.judge, self.start)
        self.ready: TextToImage | None = None  # loaded already, and not attacked yet

    def path(self, victim: str) -> Path:
        """Where the figures of the attack on `victim` are; its lines lie beside them."""
        called = self.plan.name if victim == "edited" else f"{self.plan.name}-{victim}"
        return self.folder / "attacks" / f"{called}.json"

    @property
    def asked(self) -> dict[str, Any]:
        """All that results depend on besides the victim."""
        plan = self.plan
        settings: dict[str, Any] = {"start": self.start, "prompts": self.protocol.images, "batch": plan.batch}
        settings |= {"seed": plan.seed, "attack": plan.fields, "protocol": self.protocol.lock}
        settings |= {"thresholds": list(self.judge.thresholds), "precision": str(self.precision).removeprefix("torch.")}
        made = {
            "jobs": told({"jobs": [asdict(job) for job in self.jobs]}),
            "judge": self.judge.hash,
            "code": code_of({"attack": plan.fields}),
        }
        return {"attack": plan.attack, "settings": settings, **made}

    def model(self) -> TextToImage:
        """The unedited model, fresh. BadInput where the judge knows nothing of what it draws."""
        made = self.ready or self.load()
        self.ready = None
        self.judge.suit(made)
        return made

    def check(self, victims: Sequence[str]) -> None:
        """BadInput where one of `victims` is not there, or what is to stand beside their results was asked something else."""
        for path in filter(Path.exists, map(self.path, VICTIMS)):
            self._same(self.asked, path)
        if "retrained" in victims:
            model = self.model()
            self._truth(model)
            self.ready = model

    @staticmethod
    def _same(about: Mapping[str, Any], path: Path) -> None:
        kept = json.loads(path.read_text())
        same({name: kept.get(name) for name in about}, about, path)

    def _truth(self, model: TextToImage) -> Edit:
        labels = {job.label for job in self.jobs}
        if found := model.retrained(labels):
            return Edit(model.weights_of(found))
        raise BadInput(f"victim=retrained: no network was trained without {', '.join(sorted(labels))} in {model.truth_folder}.")

    def siege(self, victim: str) -> bool:
        """Attack `victim` until it is done, and say whether the run has something new of it.

        BadInput where files of this name hold something else's results.
        """
        model = self.model()
        model.to(self.device)
        plan, attack, targets = self.plan, self.make(), torch.empty(0)
        if attack.targets:
            targets = targets_of(self.jobs, model, self.protocol, plan.batch, self.cache)
        if victim != "unedited":
            model.become(self.edit if victim == "edited" else self._truth(model))
        model.move(())  # in the run's precision
        model.cost.forwards = 0
        about = {**self.asked, "model": victim, "victim": model.hash}
        kept = self.path(victim)
        if done := kept.exists():
            self._same(about, kept)
        folder = kept.parent if victim == "edited" else self.cache / "attacks" / told(about)
        ground = Ground(model, self.jobs, targets, plan.seed)
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=1 if victim == "edited" else -1))
            except Timeout:
                raise Busy(f"{folder} belongs to an attack that still works: wait for it or end it first.") from None
            called = kept.stem if victim == "edited" else victim  # whatever a run calls it
            if not (folder / f"{called}.json").exists():
                Siege(
                    ground,
                    attack,
                    self.judge,
                    self.protocol,
                    plan.batch,
                    folder,
                    called,
                    about,
                    self.cache / "looks" / looks(about),
                ).run()
        if victim != "edited":
            kept.parent.mkdir(exist_ok=True)
            for path in folder.glob(f"{called}*"):
                with whole(kept.parent / path.name.replace(called, kept.stem, 1)) as part:
                    shutil.copy(path, part)
        return not done

    def tell(self, figures: Mapping[str, Mapping[str, float]], tracker: Callable[[], Tracker]) -> None:
        """Send `figures` to where the run was sent; where that fails, they are in its folder all the same."""
        if not figures:
            return
        try:
            where = tracker()
            try:
                where.open(self.folder, self.edit.about["config"], ())
                where.add(figures)
            finally:
                where.close()
        except Exception as e:  # of whatever library the logger is
            warnings.warn(f"the attacks were not sent: {type(e).__name__}: {e}", stacklevel=2)


def looks(about: Mapping[str, Any]) -> str:
    """The name of what is seen of a victim before any attack: by all of `about` but who attacks, and from where."""
    settings = {name: value for name, value in about["settings"].items() if name not in ("attack", "start")}
    return told({**{name: value for name, value in about.items() if name != "attack"}, "settings": settings})


def targets_of(jobs: Sequence[Job], model: TextToImage, protocol: Protocol, batch: int, cache: Path) -> Tensor:
    """Latents (jobs, channels, height, width) of the unedited `model`'s pictures of every job's own words, drawn once."""
    steps, scale = protocol.steps, protocol.guidance_scale
    parts = [jobs[at : at + batch] for at in range(0, len(jobs), batch)]
    asked = [([job.named for job in part], [job.seed for job in part]) for part in parts]

    def draw() -> dict[str, Tensor]:
        made = []
        for prompts, seeds in asked:
            *_, last = model.trajectory(model.prompt(prompts), model.noise(seeds), steps, scale, edited=False)
            made.append(last.x_t.cpu())
        return {"latents": torch.cat(made)}

    what = {"asked": asked, "steps": steps, "scale": scale, **model.depends_on}
    return once(cache / "targets" / f"{told(what)}.safetensors", draw)["latents"]


def jobs(concepts: Sequence[Concept], protocol: Protocol, judge: Judge, start: str) -> list[Job]:
    """Of every erased label the protocol's pictures of its own words, each with a prompt that leaves it out.

    BadInput for a concept that the judge has no label for: nothing would tell whether an attack succeeds.
    """
    found: list[Job] = []
    for concept in concepts:
        cells = [cell for cell in protocol.cells([concept], judge.label) if cell.role == "concept"]
        if not cells:
            raise BadInput(f"the judge has no label for {concept.name}: nothing tells whether an attack on it succeeds.")
        for cell in cells:
            begins = [p for p in protocol.unnamed(cell.label) if not says(p, concept)]
            if not begins and start == "unnamed":
                raise BadInput(f"no prompt of the protocol leaves {concept.name} out, to begin with: start=named.")
            others = tuple(p for p in protocol.paraphrases(cell.label, concept.held_out) if not says(p, concept))
            for i, (named, seed) in enumerate(zip(cell.prompts, cell.seeds, strict=True)):
                begin = named if start == "named" or not begins else begins[i % len(begins)]
                found.append(Job(len(found), concept, cell.head, cell.label, named, begin, others, seed))
    return found
