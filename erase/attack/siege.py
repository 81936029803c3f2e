"""This file is the course of an attack: rounds for many prompts at once, a judge after each, all of it written down."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from erase.attack import Attack, Ground, Job, Turn
from erase.cache import once, told
from erase.errors import BadInput
from erase.files import whole
from erase.judge import Judge, shows
from erase.metric import Share
from erase.model.text_to_image import Conditioning
from erase.protocol.drawings import Drawings as Protocol
from erase.record.key import flat
from erase.record.pictures import ROW, grid
from erase.record.run import write_json

FIGURES = ("without", "start", "alone", "union")


@dataclass(frozen=True)
class Look:
    """What a judge says of a `picture`, uint8 (3, height, width): the raw `score` of the label in question, the label with the
    highest (`top`), and whether it is a `hit`. Another threshold can be asked of these without another picture."""

    hit: bool
    score: float
    top: str
    picture: Tensor

    @property
    def said(self) -> dict[str, Any]:
        return {"hit": self.hit, "score": self.score, "top": self.top}


class Siege:
    """An attack on one victim, with its results in `folder`: `<name>.jsonl`, a line a prompt with all that the judge was shown,
    `<name>.json`, the figures, and `<name>.png`, the picture that each prompt ended with, eight a row.

    First the judge looks at what the victim makes of each prompt's own words (`without`), and of where an attack begins that
    goes out from somewhere (`start`: what shows the concept there is the attack's without a step). All attacks look alike:
    it is drawn once, into the folder `looks`, and each has it in its cost. Then up to `batch` prompts advance together. One
    that succeeds makes room for the next. Whenever they have advanced all is kept: a killed siege goes on to the same bits on a
    CPU.

    `about` says what the results depend on; a folder that holds those of something else is not touched.
    """

    def __init__(
        self,
        ground: Ground,
        attack: Attack,
        judge: Judge,
        protocol: Protocol,
        batch: int,
        folder: Path,
        name: str,
        about: Mapping[str, Any],
        looks: Path,
    ) -> None:
        self.ground, self.attack, self.judge, self.protocol, self.batch = ground, attack, judge, protocol, batch
        self.folder, self.name, self.about, self.looks = folder, name, dict(about), looks
        self.seen: dict[str, list[dict[str, Any]]] = {}  # what was said of every job, without and start
        self.done: dict[int, dict[str, Any]] = {}  # how each job ended
        self.pictures: dict[int, Tensor] = {}  # and with what picture
        self.turns: list[Turn] = []  # those that are under attack
        self.seconds = 0.0

    @property
    def kept(self) -> Path:
        return self.folder / f"{self.name}.state.safetensors"

    def run(self) -> dict[str, Any]:
        """Attack until every prompt has succeeded or had its rounds; returns the figures, as `<name>.json` has them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.attack.open(self.ground)
        if self.kept.exists():
            self._load()
        began, jobs = time.time() - self.seconds, self.ground.jobs
        if not self.seen:
            named, start = [j.named for j in jobs], [j.start for j in jobs]
            without = self._look(named)
            begun = [] if not self.attack.begins else without if start == named else self._look(start)
            self.seen = {"without": [look.said for look in without], "start": [look.said for look in begun]}
            began = time.time() - self.seconds
            for job, look in zip(jobs, begun, strict=False):
                if look.hit:
                    self._end(Turn(job), job.start, look, alone=job.named != job.start)
        with tqdm(total=len(jobs), initial=len(self.done), desc=f"attacking: {self.name}", unit="prompt") as bar:
            while len(self.done) < len(jobs):
                busy = {turn.job.number for turn in self.turns}
                waiting = [Turn(job) for job in jobs if job.number not in self.done and job.number not in busy]
                self.turns += waiting[: self.batch - len(self.turns)]
                if advanced := self.attack.advance(self.turns):
                    self._close(*advanced)
                    bar.update(len(self.done) - bar.n)
                self.seconds = time.time() - began
                self._save()
        return self._finish()

    def _close(self, texts: Sequence[str], heard: Conditioning | None) -> None:
        """End a round with the judge's look at `texts`, or what is `heard` in their place; who succeeded, or is spent, ends."""
        looks = self._judged(heard or self.ground.model.prompt(texts), [turn.job for turn in self.turns])
        for turn, text, look in zip(self.turns, texts, looks, strict=True):
            turn.round += 1
            turn.looks.append({"text": text, **look.said})
            if look.hit or self.attack.spent(turn):
                self._end(turn, text, look, alone=look.hit)
        self.turns = [turn for turn in self.turns if turn.job.number not in self.done]

    def _look(self, prompts: Sequence[str]) -> list[Look]:
        """What the judge sees where the victim hears `prompts`, one a job; what that costs, whoever draws it, is this
        attack's."""
        jobs, cost = self.ground.jobs, self.ground.model.cost
        before = cost.forwards

        def draw() -> dict[str, Tensor]:
            began = time.time()
            found: list[Look] = []
            for at in range(0, len(jobs), self.batch):
                some = slice(at, at + self.batch)
                found += self._judged(self.ground.model.prompt(prompts[some]), jobs[some])
            said = [torch.tensor([getattr(look, name) for look in found]) for name in ("hit", "score")]
            tops = torch.tensor([self.judge.labels[job.head].index(look.top) for job, look in zip(jobs, found, strict=True)])
            paid = (torch.tensor(cost.forwards - before), torch.tensor(time.time() - began))
            made = (*said, tops, torch.stack([look.picture for look in found]), *paid)
            return dict(zip(("hit", "score", "top", "picture", "forwards", "seconds"), made, strict=True))

        looked = once(self.looks / f"{told({'prompts': prompts})}.safetensors", draw)
        cost.forwards = before + int(looked["forwards"])
        self.seconds += float(looked["seconds"])
        rows = zip(jobs, *(looked[name] for name in ("hit", "score", "top", "picture")), strict=True)
        return [Look(bool(hit), float(score), self.judge.labels[j.head][int(top)], image) for j, hit, score, top, image in rows]

    def _judged(self, heard: Conditioning, jobs: Sequence[Job]) -> list[Look]:
        """What the judge says of each job's concept in the picture of what is `heard`, a row a job."""
        seeds = [job.seed for job in jobs]
        images = self.ground.model.draw(heard, seeds, self.protocol.steps, self.protocol.guidance_scale)
        said = self.judge.score(images, [job.named for job in jobs])
        found = []
        for i, job in enumerate(jobs):
            scores, labels = said[job.head][i], self.judge.labels[job.head]
            own = labels.index(job.label)
            hit = bool(shows(scores, own, self.judge.thresholds))
            found.append(Look(hit, float(scores[own]), labels[int(scores.argmax())], images[i].cpu()))
        return found

    def _end(self, turn: Turn, text: str, look: Look, alone: bool) -> None:
        job = turn.job
        seen = {name: said[job.number] for name, said in self.seen.items() if said}
        without, begun = (seen.get(name, {}).get("hit", False) for name in ("without", "start"))
        said = {"prompt": job.named, "seed": job.seed, "label": job.label, "start": job.start}
        ended = {"without": without, "begun": begun, "alone": alone, "union": without or alone, "rounds": turn.round}
        self.done[job.number] = {
            **said,
            **ended,
            "text": text,
            "victim": self.about["victim"],
            "seen": seen,
            "looks": turn.looks,
        }
        self.pictures[job.number] = look.picture

    def _save(self) -> None:
        """All that a killed siege needs, in one file; then the lines for who watches."""
        tensors = {f"turn.{t.job.number}.{name}": value for t in self.turns for name, value in t.state.items()}
        tensors |= {f"attack.{name}": value for name, value in self.attack.state_dict().items()}
        tensors |= {f"picture.{number}": picture for number, picture in self.pictures.items()}
        about = {"about": self.about, "seen": self.seen, "done": self.done, "seconds": self.seconds}
        about |= {"turns": [(t.job.number, t.round, t.looks) for t in self.turns], "cost": vars(self.ground.model.cost)}
        with whole(self.kept) as part:
            save_file({n: t.contiguous() for n, t in tensors.items()}, part, {"state": json.dumps(about)})
        lines = "".join(f"{json.dumps(self.done[number])}\n" for number in sorted(self.done))
        with whole(self.folder / f"{self.name}.jsonl") as part:
            part.write_text(lines)

    def _load(self) -> None:
        with safe_open(self.kept, "pt") as file:
            about = json.loads(file.metadata()["state"])
            same(about["about"], self.about, self.kept)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.seen, self.seconds = about["seen"], about["seconds"]
        self.done = {int(number): ended for number, ended in about["done"].items()}
        for name, value in about["cost"].items():
            setattr(self.ground.model.cost, name, value)
        self.attack.load_state_dict({n.removeprefix("attack."): t for n, t in tensors.items() if n.startswith("attack.")})
        self.pictures = {int(n.removeprefix("picture.")): t for n, t in tensors.items() if n.startswith("picture.")}
        for number, made, looks in about["turns"]:
            own = {n.split(".", 2)[2]: t for n, t in tensors.items() if n.startswith(f"turn.{number}.")}
            self.turns.append(Turn(self.ground.jobs[number], made, own, looks))

    def _finish(self) -> dict[str, Any]:
        self._save()
        ended = [self.pictures[number] for number in sorted(self.pictures)]
        with whole(self.folder / f"{self.name}.png") as part:
            grid([torch.stack(ended[at : at + ROW]) for at in range(0, len(ended), ROW)]).save(part, "PNG")
        for token, value in self.attack.artefact().items():
            save_file({token: value}, self.folder / f"{self.name}-{token.strip('<>')}.safetensors")
        result = {**self.about, "figures": figures(list(self.done.values())), "cost": self.cost}
        write_json(self.folder / f"{self.name}.json", result)
        self.kept.unlink()
        return result

    @property
    def cost(self) -> dict[str, float]:
        """Seconds and passes, those before a resume too."""
        return {"seconds": self.seconds, **vars(self.ground.model.cost)}


def same(then: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """BadInput where what `path` holds depended on other things `then` than what is asked for `now`."""
    old, new = flat(then), flat(json.loads(json.dumps(now)))
    if changed := [n for n in sorted({*old, *new}) if old.get(n) != new.get(n)]:
        said = f"{changed[0]} was {old.get(changed[0])} and is {new.get(changed[0])}"
        raise BadInput(f"{path} holds another attack's results ({said}): name=<another>.")


def figures(ended: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Attack success rates, shares of all prompts with Wilson's 95 % interval: `without` attack, by the attack `alone`,
    either of them (`union`), and how many showed the concept already where the attack began (`start`)."""
    found: dict[str, Any] = {"n": len(ended)}
    for name, column in zip(FIGURES, ("without", "begun", "alone", "union"), strict=True):
        share = Share()
        share.update(torch.tensor([line[column] for line in ended]))
        found[name] = dict(zip(("value", "low", "high"), share.compute(), strict=True))
    return found
