"""This file is adaptive guided erasure: the target is searched, and what it is, is held."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.method.redirect import Redirect
from erase.model.text_to_image import Conditioning
from erase.preservation import Kept
from erase.preservation.adversarial import Adversarial
from erase.target import Target
from erase.target.searched import Searched


class Age(Redirect):
    """AGE (Bui et al. 2025, arXiv 2501.18950): max over c_t of L1 + λ L2, where L1 = ‖ε_θ'(x_t, c_e) − target(c_t)‖² and
    L2 = ‖ε_θ'(x'_t, c_t) − ε_θ(x'_t, c_t)‖²; x_t comes from c_e's trajectories, x'_t from those of c_t.

    c_t is what the preservation chooses: an adversarial one maximises the sum, and the gradient of L1 reaches it through the
    teacher's prediction at c_t. (The released code stops it there, so that only L2 is maximised.) Any other preservation
    gives the fixed targets that AGE is compared with.
    """

    divisible = False

    def __init__(self, target: Target, **parts: object) -> None:
        if not isinstance(target, Searched):
            raise BadInput("method=age erases to what it holds: target=searched.")
        target.chosen = Kept([])
        super().__init__(target=target, **parts)  # type: ignore[arg-type]
        if self.model.low_memory:
            raise BadInput("method=age asks the frozen model for gradients, which trainer.low_memory cannot make twice: false.")
        if not self.candidates:
            raise BadInput("method=age erases to what it holds, and preservation holds nothing: preservation=adversarial.")
        if isinstance(self.preservation, Adversarial):
            if self.preservation.filter == "none":
                raise BadInput("preservation.filter=none would erase a concept to itself with method=age: words.")
            self.preservation.besides = self._redirected

    def _redirected(self, points: Points, prompts: Sequence[str], heard: Conditioning) -> Tensor:
        """L1 (rows,) at `points` of erased `prompts`, where c_t is `heard`: the edited network's word has no gradient."""
        assert isinstance(self.target, Searched)
        with torch.no_grad():
            ours = self.model.predict(points.x_t, points.t, self.words(prompts))
        return self.task.loss.each(ours, self.target.toward(points, heard), points.snr)

    def hold(self, step: int) -> Kept | None:
        assert isinstance(self.target, Searched)
        self.target.chosen = self.choose(step, self.batch_size)
        return self.target.chosen if self.preservation.weight else None

    def erased(self, prompts: Sequence[str], step: int) -> tuple[Points, Tensor]:
        points = self.draw(prompts, "erase", step, empty=False)
        return points, self.target(points, prompts, step)
