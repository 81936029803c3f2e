"""This file is AdvUnlearn: what the adversary makes of the concept is erased, and a retain set is held."""

from erase.adversary import Nobody
from erase.errors import BadInput
from erase.method.redirect import Redirect
from erase.preservation import Kept


class AdvUnlearn(Redirect):
    """Zhang et al. 2024, arXiv 2405.15234: L = ‖ε_θ'(x_t, c*) − target(c_e)‖² + γ E ‖ε_θ'(x'_t, c) − ε_θ(x'_t, c)‖².

    c* is the adversary's, γ the preservation's weight, the mean is over `retain_batch` retained prompts an update, beside the
    erased ones, as many as the batch. Where only the text encoder moves, x_t of a bank is the original's, whatever was
    learnt (`latents=refreshed` follows the edit).
    """

    def __init__(self, retain_batch: int = 5, **parts: object) -> None:
        if retain_batch < 1:
            raise BadInput(f"method.retain_batch={retain_batch} must be at least 1.")
        super().__init__(**parts)  # type: ignore[arg-type]
        if isinstance(self.adversary, Nobody):
            raise BadInput("method=adv_unlearn trains against somebody: adversary=pgd or fast; without, it is method=esd.")
        self.retain_batch = retain_batch

    def hold(self, step: int) -> Kept | None:
        return self.choose(step, self.retain_batch) if self.preservation.weight else None
