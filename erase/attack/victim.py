"""This file is who is attacked: the edited model of a run, the unedited one, or the one that never saw the concept."""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from erase.attack import Attack, Ground, Job
from erase.attack.siege import Siege, same
from erase.cache import once, told
from erase.command import build
from erase.concept import Concept, says
from erase.errors import BadInput, Busy
from erase.files import whole
from erase.judge import Judge
from erase.model.edit import Edit
from erase.model.text_to_image import TextToImage
from erase.protocol.drawings import Drawings as Protocol
from erase.record.key import code
from erase.record.tracking import Tracker
from erase.trainer import Trainer

VICTIMS = ("edited", "unedited", "retrained")


class Victims:
    """The three models of one run, and an attack on each, which `make` makes and whose files are called `name`.

    The edited model's results lie in the run's `attacks/`. Those of the others are the same for all runs of the concept: they
    are made in the cache, by whoever comes first, and copied. Prompts and judge are the run's own unless `config` names others.
    """

    def __init__(
        self, folder: Path, edit: Edit, config: DictConfig, name: str, choice: str, trainer: Trainer, make: Callable[[], Attack]
    ) -> None:
        self.folder, self.edit, self.config, self.name, self.choice, self.make = folder, edit, config, name, choice, make
        make()  # a wrong number is refused here
        self.device, self.precision = trainer.device, trainer.precision
        self.settings = edit.about["config"]
        self.concepts = [Concept.read(c) for c in edit.about["concepts"]]
        protocol = build(OmegaConf.create(config.protocol or self.settings["protocol"]), "protocol")
        if not isinstance(protocol, Protocol):
            asked = type(protocol).__name__.lower()
            raise BadInput(f"protocol={asked} does not say from which prompts an attack begins: protocol=quick or full.")
        protocol.images = config.prompts
        judge: Judge = build(OmegaConf.create(config.judge or self.settings["judge"]), "judge")
        self.protocol, self.judge = protocol, judge.among(protocol.questions(self.concepts)).to(self.device)
        self.jobs = jobs(self.concepts, protocol, self.judge, config.start)
        self.cache = Path(config.cache).expanduser()
        self.ready: TextToImage | None = None  # loaded already, and not attacked yet

    def path(self, victim: str) -> Path:
        """Where the figures of the attack on `victim` are; its lines lie beside them."""
        called = self.name if victim == "edited" else f"{self.name}-{victim}"
        return self.folder / "attacks" / f"{called}.json"

    @property
    def asked(self) -> dict[str, Any]:
        """All that results depend on besides the victim."""
        settings: dict[str, Any] = {n: self.config[n] for n in ("start", "prompts", "batch", "seed")}
        settings |= {"attack": OmegaConf.to_container(self.config.attack, resolve=True), "protocol": self.protocol.lock}
        settings |= {"thresholds": list(self.judge.thresholds), "precision": str(self.precision).removeprefix("torch.")}
        made = {"jobs": told({"jobs": [asdict(job) for job in self.jobs]}), "judge": self.judge.hash, "code": code()}
        return {"attack": self.choice, "settings": settings, **made}

    def model(self) -> TextToImage:
        """The unedited model, fresh. BadInput where the judge knows nothing of what it draws."""
        made: TextToImage = self.ready or build(OmegaConf.create(self.settings["model"]), "model", precision=self.precision)
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
        attack = self.make()
        targets = self._targets(model) if attack.targets else torch.empty(0)
        if victim != "unedited":
            model.become(self.edit if victim == "edited" else self._truth(model))
        model.move(())  # in the run's precision
        model.cost.forwards = 0
        about = {**self.asked, "model": victim, "victim": model.hash}
        kept = self.path(victim)
        if done := kept.exists():
            self._same(about, kept)
        folder = kept.parent if victim == "edited" else self.cache / "attacks" / told(about)
        ground = Ground(model, self.jobs, targets, self.config.seed)
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=1 if victim == "edited" else -1))
            except Timeout:
                raise Busy(f"{folder} belongs to an attack that still works: wait for it or end it first.") from None
            called = kept.stem if victim == "edited" else victim  # whatever a run calls it
            if not (folder / f"{called}.json").exists():
                Siege(ground, attack, self.judge, self.protocol, self.config.batch, folder, called, about).run()
        if victim != "edited":
            kept.parent.mkdir(exist_ok=True)
            for path in folder.glob(f"{called}*"):
                with whole(kept.parent / path.name.replace(called, kept.stem, 1)) as part:
                    shutil.copy(path, part)
        return not done

    def tell(self, figures: dict[str, dict[str, float]]) -> None:
        """Send `figures` to where the run was sent; where that fails, they are in its folder all the same."""
        if not figures:
            return
        try:
            tracker: Tracker = build(OmegaConf.create(self.settings["logger"]), "logger")
            try:
                tracker.open(self.folder, self.settings, ())
                tracker.add(figures)
            finally:
                tracker.close()
        except Exception as e:  # of whatever library the logger is
            warnings.warn(f"the attacks were not sent: {type(e).__name__}: {e}", stacklevel=2)

    def _targets(self, model: TextToImage) -> Tensor:
        """Latents of the unedited model's pictures of every job's own words, drawn once."""
        steps, scale, size = self.protocol.steps, self.protocol.guidance_scale, self.config.batch
        parts = [self.jobs[at : at + size] for at in range(0, len(self.jobs), size)]
        asked = [([job.named for job in part], [job.seed for job in part]) for part in parts]

        def draw() -> dict[str, Tensor]:
            made = []
            for prompts, seeds in asked:
                *_, last = model.trajectory(model.prompt(prompts), model.noise(seeds), steps, scale, edited=False)
                made.append(last.x_t.cpu())
            return {"latents": torch.cat(made)}

        what = {"asked": asked, "steps": steps, "scale": scale, **model.depends_on}
        return once(self.cache / "targets" / f"{told(what)}.safetensors", draw)["latents"]


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
            others = tuple(p for p in protocol.paraphrases(cell.label) if not says(p, concept))
            for i, (named, seed) in enumerate(zip(cell.prompts, cell.seeds, strict=True)):
                begin = named if start == "named" else begins[i % len(begins)]
                found.append(Job(len(found), concept, cell.head, cell.label, named, begin, others, seed))
    return found
