"""This file is sharpness-aware minimisation of what erases."""

from erase.errors import BadInput
from erase.sharpness import Gradient, Sharpness, along


class SAM(Sharpness):
    """SAM (Foret et al. 2021, arXiv 2010.01412) of the erase losses: their gradient is taken where they are about worst,
    `radius` up their own gradient, θ + ρ g / ‖g‖. What holds is asked at the weights. An update costs a second pass of the
    edited network, and its backward pass.

    ρ is a length in the space of what moves: compare it with how far an edit moves that.
    """

    def __init__(self, radius: float = 0.05) -> None:
        if not radius > 0:
            raise BadInput(f"sharpness.radius={radius} must be greater than 0.")
        self.radius = radius

    def ways(self, erase: Gradient, keep: Gradient) -> tuple[Gradient, None]:
        return along((self.radius, erase)), None
