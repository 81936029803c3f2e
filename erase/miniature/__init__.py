"""The miniature: a Stable-Diffusion-shaped pipeline trained by this project on a world that it draws."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped pipeline; `judge/` and `clip/` (both towers) lie beside its diffusers components."""
