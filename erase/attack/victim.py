"""This file is who is attacked: the edited model of a run, the unedited one, or the one that never saw the concept."""

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

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
from erase.judge import Judge
from erase.model.edit import Edit
from erase.model.text_to_image import TextToImage
from erase.protocol.drawings import Drawings as Protocol
from erase.record.key import code
from erase.record.tracking import Tracker
from erase.trainer import device_of


class Victims:
    """The three models of one run, and an attack on each, which `make` makes.

    The edited model's results lie in the run's `attacks/`. Those of the others are the same for all runs of the concept: they
    are made in the cache, by whoever comes first, and copied.
    """

    def __init__(self, folder: Path, edit: Edit, config: DictConfig, choice: str, make: Callable[[], Attack]) -> None:
        self.folder, self.edit, self.config, self.choice, self.make = folder, edit, config, choice, make
        make()  # a wrong number is refused here
        self.device = device_of(config.device, "device")
        self.settings = edit.about["config"]
        self.concepts = [Concept.read(c) for c in edit.about["concepts"]]
        drawn = OmegaConf.create({**self.settings["protocol"], "images": config.prompts})
        self.protocol: Protocol = build(drawn, "protocol")
        judge: Judge = build(OmegaConf.create(self.settings["judge"]), "judge")
        self.judge = judge.among(self.protocol.questions(self.concepts)).to(self.device)
        self.jobs = jobs(self.concepts, self.protocol, self.judge, config.start)
        self.cache = Path(config.cache).expanduser()

    def model(self) -> TextToImage:
        model: TextToImage = build(OmegaConf.create(self.settings["model"]), "model")
        return model

    def check(self, victims: Sequence[str]) -> None:
        """BadInput where one of `victims` is not there."""
        if "retrained" in victims:
            self._truth(self.model())

    def _truth(self, model: TextToImage) -> Edit:
        labels = {job.label for job in self.jobs}
        if found := model.retrained(labels):
            return Edit(model.weights_of(found))
        raise BadInput(f"victim=retrained: no network was trained without {', '.join(sorted(labels))} in {model.truth_folder}.")

    def siege(self, victim: str, name: str) -> bool:
        """Attack `victim` until it is done, and say whether the run has something new of it.

        BadInput where files of this `name` hold something else's results.
        """
        model = self.model()
        model.to(self.device)
        attack = self.make()
        targets = self._targets(model) if attack.targets else torch.empty(0)
        if victim != "unedited":
            model.become(self.edit if victim == "edited" else self._truth(model))
        model.cost.forwards = 0
        asked = {n: self.config[n] for n in ("start", "prompts", "batch", "seed")}
        asked |= {"attack": OmegaConf.to_container(self.config.attack, resolve=True), "protocol": self.protocol.lock}
        about = {"attack": self.choice, "model": victim, "victim": model.hash, "settings": asked}
        about |= {"judge": self.judge.hash, "jobs": told({"jobs": [asdict(job) for job in self.jobs]}), "code": code()}
        own = self.folder / "attacks"
        folder = own if victim == "edited" else self.cache / "attacks" / told(about)
        if done := (kept := own / f"{name}.json").exists():
            result = json.loads(kept.read_text())
            same({n: result[n] for n in about}, about, kept)
        ground = Ground(model, self.jobs, targets, self.config.seed)
        with ExitStack() as held:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=1 if victim == "edited" else -1))
            except Timeout:
                raise Busy(f"{folder} belongs to an attack that still works: wait for it or end it first.") from None
            called = name if victim == "edited" else victim  # whatever a run calls it
            if not (folder / f"{called}.json").exists():
                Siege(ground, attack, self.judge, self.protocol, self.config.batch, folder, called, about).run()
        if victim != "edited":
            own.mkdir(exist_ok=True)
            for path in folder.glob(f"{called}*"):
                shutil.copy(path, own / path.name.replace(called, name, 1))
        return not done

    def tell(self, figures: dict[str, dict[str, float]]) -> None:
        """Send `figures` to where the run was sent; where that fails, they are in its folder all the same."""
        if not figures:
            return
        try:
            tracker: Tracker = build(OmegaConf.create(self.settings["logger"]), "logger")
            try:
                tracker.open(self.folder, self.settings["name"], self.settings, ())
                tracker.add(figures)
            finally:
                tracker.close()
        except Exception as e:  # of whatever library the logger is
            warnings.warn(f"the attacks were not sent: {type(e).__name__}: {e}", stacklevel=2)

    def _targets(self, model: TextToImage) -> Tensor:
        """Latents of the unedited model's pictures of every job's own words, drawn once."""
        prompts, seeds = [job.named for job in self.jobs], [job.seed for job in self.jobs]
        steps, scale = self.protocol.steps, self.protocol.guidance_scale
        what = {"prompts": prompts, "seeds": seeds, "steps": steps, "scale": scale, **model.depends_on}

        def draw() -> dict[str, Tensor]:
            *_, last = model.trajectory(model.prompt(prompts), model.noise(seeds), steps, scale, edited=False)
            return {"latents": last.x_t.cpu()}

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
