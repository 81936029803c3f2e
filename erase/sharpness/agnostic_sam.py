"""This file is sharpness-aware minimisation of what erases that looks where holding is not hurt."""

from erase.errors import BadInput
from erase.sharpness import Gradient, Sharpness, along


class AgnosticSAM(Sharpness):
    """SAM's step up the erase losses' gradient g_S and besides down that of what holds, g_V: the gradient of what erases is
    taken at θ + ρ_1 g_S / ‖g_S‖ − ρ_2 g_V / ‖g_V‖, after agnostic SAM (arXiv 2406.07107), whose validation batch what holds
    stands for here. What holds is asked at the weights. It costs what SAM costs.
    """

    of_both = True

    def __init__(self, radius: float = 0.05, keep_radius: float = 0.05) -> None:
        for name, value in (("radius", radius), ("keep_radius", keep_radius)):
            if not value > 0:
                raise BadInput(f"sharpness.{name}={value} must be greater than 0.")
        self.radius, self.keep_radius = radius, keep_radius

    def ways(self, erase: Gradient, keep: Gradient) -> tuple[Gradient, None]:
        return along((self.radius, erase), (-self.keep_radius, keep)), None
