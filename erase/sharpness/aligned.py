"""This file is gradient alignment: steps on which what erases and what holds agree."""

from erase.errors import BadInput
from erase.sharpness import Gradient, Sharpness, along, norm


class Aligned(Sharpness):
    """PGA (Phan et al., NeurIPS 2024) with what erases and what holds as the two objectives: the gradient of each is taken at
    θ + ρ g / ‖g‖ − a g' / (‖g‖ ‖g'‖), g being its own and g' the other's. To first order the sum of both losses is minimised
    with a penalty ρ on their gradients' norms and a reward a for the cosine between them. Where ‖g‖ is next to nothing, as that
    of what holds is at first, the last part would lead anywhere: it is no longer than ρ. Two passes of the edited network more
    an update, and their backward passes.
    """

    of_both = True

    def __init__(self, radius: float = 0.05, align: float = 0.005) -> None:
        if not radius > 0:
            raise BadInput(f"sharpness.radius={radius} must be greater than 0.")
        if not align >= 0:
            raise BadInput(f"sharpness.align={align} must not be negative.")
        self.radius, self.align = radius, align

    def ways(self, erase: Gradient, keep: Gradient) -> tuple[Gradient, Gradient]:
        def way(own: Gradient, other: Gradient) -> Gradient:
            length = float(norm(own))
            apart = min(self.align / length, self.radius) if length else 0.0
            return along((self.radius, own), (-apart, other))

        return way(erase, keep), way(keep, erase)
