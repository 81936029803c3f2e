"""This file is concept ablation: on pictures of the anchor, the concept's words come to mean the anchor."""

from collections.abc import Sequence

from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.method.redirect import Redirect


class ConceptAblation(Redirect):
    """L = ‖ε_θ'(x_t, c_e) − sg ε_θ(x_t, a)‖², x_t from pictures of the anchor a: Kumari et al. 2023, arXiv 2303.13516.

    The model-based form. The target is the frozen model's, which knows its own pictures already; in the released code it is
    the edited network's own, without gradient. `Redirect` with the same target hears c_e on pictures of c_e instead.
    """

    def __init__(self, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]
        if None in map(self.target.words, self.task.prompts):
            raise BadInput("method=concept_ablation draws pictures of words: target=anchor (target.eta=0) or neutral.")

    def on_fit_start(self) -> None:
        self.latents.declare(self._anchors(self.task.prompts))  # before somebody keeps one of them, of whom there are fewer
        super().on_fit_start()

    def _anchors(self, prompts: Sequence[str]) -> list[str]:
        return [word for word in map(self.target.words, prompts) if word is not None]

    def erased(self, prompts: Sequence[str], step: int) -> tuple[Points, Tensor]:
        points = self.draw(self._anchors(prompts), "erase", step, empty=False)
        return points, points.conditional
