"""This file is the pen: it draws shapes in a box that is placed, scaled and perhaps mirrored on the canvas."""

import math

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

DARK: Colour = (45, 42, 48)
LIGHT: Colour = (245, 243, 238)
GLASS: Colour = (165, 205, 225)
METAL: Colour = (150, 155, 162)


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` darker (below 1) or lighter (above 1)."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b


class Pen:
    """Draws in a box whose corners are (0, 0) and (1, 1), placed, scaled and perhaps mirrored on the canvas.

    `x`, `y` (of the box's upper left corner) and `size` are shares of the canvas; all that its methods take are shares of the
    box, y downwards. An `outline` is a darker line around what is filled.
    """

    def __init__(self, canvas: Image.Image, x: float, y: float, size: float, mirrored: bool) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.edge = canvas.width
        self.x, self.y, self.size, self.mirrored = x, y, size, mirrored

    def at(self, p: Point) -> Point:
        """Where a point of the box is on the canvas, in pixels."""
        u = 1 - p[0] if self.mirrored else p[0]
        return (self.x + u * self.size) * self.edge, (self.y + p[1] * self.size) * self.edge

    def width(self, w: float) -> int:
        """Whole pixels, at least one."""
        return max(1, round(w * self.size * self.edge))

    def poly(self, points: list[Point], fill: Colour, outline: bool = True) -> None:
        """A polygon."""
        at = [self.at(p) for p in points]
        self.draw.polygon(at, fill=fill)
        if outline:
            self.draw.line([*at, at[0], at[1]], fill=shade(fill, 0.6), width=self.width(0.018), joint="curve")

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, outline: bool = True) -> None:
        """A rectangle between two corners."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: bool = True) -> None:
        """An ellipse around (x, y)."""
        (x0, y0), (x1, y1) = self.at((x - rx, y - ry)), self.at((x + rx, y + ry))
        box = (min(x0, x1), y0, max(x0, x1), y1)
        self.draw.ellipse(box, fill, shade(fill, 0.6) if outline else None, self.width(0.018) if outline else 0)

    def line(self, points: list[Point], fill: Colour, width: float) -> None:
        """A line through `points`."""
        self.draw.line([self.at(p) for p in points], fill=fill, width=self.width(width), joint="curve")

    def curve(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour, w: float) -> None:
        """A piece of an ellipse from angle `start` to `end`, degrees clockwise from the right."""
        steps = [math.radians(start + (end - start) * i / 24) for i in range(25)]
        self.line([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in steps], fill, w)
