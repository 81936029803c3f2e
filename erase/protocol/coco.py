"""This file is COCO's captions: what an erasure did to everything else (Lin et al. 2014, arXiv 1405.0312)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from erase.cache import once, told
from erase.concept import Concept
from erase.errors import BadInput
from erase.files import digest
from erase.judge import Judge
from erase.judge.engine import Judged
from erase.metric.measure import ENOUGH, Measure, Sets, measure
from erase.model.text_to_image import hardware
from erase.protocol import Cell, Label
from erase.protocol.prompts import Prompts

SIDE = 512
"""Real pictures are cut square and brought to this size before a judge looks."""


class Coco(Prompts):
    """`clip_score`, and the distances of the pictures' CLIP features to those of the unedited model's, `kid_unedited` and
    `fid_unedited`, and of the real pictures in the folder `real`, `kid_real` and `fid_real`.

    These are no Inception features: figures cannot be compared with a paper's FID. FID only where there are five pictures
    for each feature; fewer, and its covariance is noise.
    """

    file = "COCO's captions"

    def __init__(
        self,
        prompts: str | None,
        steps: int,
        guidance_scale: float,
        fraction: float = 1.0,
        images_per_prompt: int = 1,
        real: str | None = None,
    ) -> None:
        super().__init__(prompts, steps, guidance_scale, fraction, images_per_prompt)
        self.real = real
        self.truth: Tensor | None = None

    @cached_property
    def _files(self) -> list[Path]:
        folder = Path(str(self.real)).expanduser()
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
        if len(found) < ENOUGH:
            raise BadInput(
                f"protocol.real={self.real} holds {len(found)} pictures (jpg, png, webp): {ENOUGH} or more are needed."
            )
        return found

    @property
    def lock(self) -> Mapping[str, Any]:
        if not self.real:
            return super().lock
        return {**super().lock, "real": len(self._files), "real_files": self._held}

    def cells(self, erased: Sequence[Concept], judged: Label) -> list[Cell]:
        return self._cells("kept", "", "caption", self.rows, "coco")

    @cached_property
    def _held(self) -> str:
        """sha256 of what the real pictures' files hold."""
        return digest(self._files)

    def meet(self, judge: Judge, cache: Path) -> None:
        """Let the judge look at the real pictures. BadInput for one that knows no words, or a file that is no picture."""
        if not judge.reads:
            raise BadInput("protocol=coco needs a judge that knows pictures from words: judge=clip.")
        if self.real:
            what = told({"judge": judge.hash, "code": judge.code, "hardware": hardware(judge.device), "real": self._held})
            self.truth = once(cache / "real" / f"{what}.safetensors", lambda: {"features": self._look(judge)})["features"]

    def _look(self, judge: Judge) -> Tensor:
        parts = [self._files[at : at + 32] for at in range(0, len(self._files), 32)]
        seen = tqdm(parts, desc="judging real pictures", unit="batch")
        return torch.cat([judge.score(torch.stack([_square(p) for p in part]), [""] * len(part))["features"] for part in seen])

    def measures(
        self, judged: Sequence[Judged], before: Sequence[Judged] = (), retrained: Sequence[Judged] = ()
    ) -> dict[str, Measure]:
        return {"clip_score": measure(judged, lambda j: j.clip_scores, self.sampled)}

    def sets(
        self, judged: Sequence[Judged], before: Sequence[Judged] = (), retrained: Sequence[Judged] = ()
    ) -> dict[str, Sets]:
        own = torch.cat([j.features for j in judged])
        if len(own) < ENOUGH:
            return {}
        found: dict[str, Sets] = {}
        if before:
            unedited = own if judged is before else torch.cat([j.features for j in before])
            found |= {"kid_unedited": Sets(unedited, own), "fid_unedited": Sets(unedited, own)}
        if self.truth is not None:
            found |= {"kid_real": Sets(self.truth, own), "fid_real": Sets(self.truth, own)}
        return found


def _square(path: Path) -> Tensor:
    """The middle of a picture, (3, SIDE, SIDE) uint8."""
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except OSError as e:
        raise BadInput(f"protocol.real={path.parent}: {path.name} is no picture that can be read.") from e
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    cut = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1)
