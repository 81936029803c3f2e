"""This file is gradient alignment: steps on which what erases and what holds agree."""

from erase.errors import BadInput
from erase.sharpness import Gradient, Sharpness, along, norm


class Aligned(Sharpness):
    """PGA (Phan et al., NeurIPS 2024) with what erases and what holds as the two objectives: the gradient of each is taken at
    θ + ρ g / ‖g‖ − a g' / (‖g‖ ‖g'‖), g being its own and g' the other's. To first order the sum of both losses is minimised
    with a penalty ρ on their gradients' norms and a reward a for the cosine between them. Two passes of the edited network
    more an update, and their backward passes.
    """

    of_both = True

    def __init__(self, radius: float = 0.05, align: float = 0.005) -> None:
        for name, value in (("radius", radius), ("align", align)):
            if not value >= 0:
                raise BadInput(f"sharpness.{name}={value} must not be negative.")
        self.radius, self.align = radius, align

    def ways(self, erase: Gradient, keep: Gradient) -> tuple[Gradient, Gradient]:
        def way(own: Gradient, other: Gradient) -> Gradient:
            length = float(norm(own))
            return along((self.radius, own), (-self.align / length if length else 0.0, other))

        return way(erase, keep), way(keep, erase)
