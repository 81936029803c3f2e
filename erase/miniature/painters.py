"""This file is the brush: it draws places, subjects and flat, featureless paper dolls."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from erase.miniature.styles import apply
from erase.miniature.world import COLOURS, NOTHING, SIZE, Scene, generator

SCALE = 4  # drawn this much larger, then averaged: smooth edges

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
    """Draws in a box whose corners are (0, 0) and (1, 1), placed, scaled and perhaps mirrored on the canvas."""

    def __init__(self, canvas: Image.Image, x: float, y: float, size: float, mirrored: bool) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.edge = canvas.width
        self.x, self.y, self.size, self.mirrored = x, y, size, mirrored

    def at(self, p: Point) -> Point:
        u = 1 - p[0] if self.mirrored else p[0]
        return (self.x + u * self.size) * self.edge, (self.y + p[1] * self.size) * self.edge

    def width(self, w: float) -> int:
        return max(1, round(w * self.size * self.edge))

    def poly(self, points: list[Point], fill: Colour, outline: bool = True) -> None:
        at = [self.at(p) for p in points]
        self.draw.polygon(at, fill=fill)
        if outline:
            self.draw.line([*at, at[0], at[1]], fill=shade(fill, 0.6), width=self.width(0.018), joint="curve")

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, outline: bool = True) -> None:
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: bool = True) -> None:
        (x0, y0), (x1, y1) = self.at((x - rx, y - ry)), self.at((x + rx, y + ry))
        box = (min(x0, x1), y0, max(x0, x1), y1)
        self.draw.ellipse(box, fill, shade(fill, 0.6) if outline else None, self.width(0.018) if outline else 0)

    def line(self, points: list[Point], fill: Colour, width: float) -> None:
        self.draw.line([self.at(p) for p in points], fill=fill, width=self.width(width), joint="curve")

    def curve(self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour, w: float) -> None:
        """A piece of an ellipse from angle `start` to `end`, degrees clockwise from the right."""
        steps = [math.radians(start + (end - start) * i / 24) for i in range(25)]
        self.line([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in steps], fill, w)


def ball(pen: Pen, c: Colour, kind: str) -> None:
    x, y, r = 0.5, 0.52, 0.36
    if kind == "golf ball":
        pen.poly([(0.42, 0.86), (0.58, 0.86), (0.53, 1.0), (0.47, 1.0)], (190, 120, 60))
    pen.oval(x, y, r, r, c)
    if kind == "golf ball":
        for row in range(-3, 4):
            for column in range(-3, 4):
                dx, dy = (column + (row % 2) / 2) * 0.105, row * 0.095
                if math.hypot(dx, dy) < r - 0.06:
                    pen.oval(x + dx, y + dy, 0.026, 0.026, shade(c, 0.72), False)
    elif kind == "tennis ball":
        pen.curve(x - 0.42, y, 0.3, 0.34, -62, 62, LIGHT, 0.05)
        pen.curve(x + 0.42, y, 0.3, 0.34, 118, 242, LIGHT, 0.05)
    elif kind == "basketball":
        pen.line([(x - r, y), (x + r, y)], DARK, 0.035)
        pen.line([(x, y - r), (x, y + r)], DARK, 0.035)
        pen.curve(x - 0.42, y, 0.26, 0.32, -62, 62, DARK, 0.035)
        pen.curve(x + 0.42, y, 0.26, 0.32, 118, 242, DARK, 0.035)
    else:
        other = LIGHT if min(c) < 200 else (230, 90, 80)
        for i in range(0, 6, 2):
            arc = [math.radians(60 * i + 60 * j / 8 - 20) for j in range(9)]
            pen.poly([(x, y - 0.08), *((x + r * math.cos(a), y + r * math.sin(a)) for a in arc)], other, False)
        pen.oval(x, y - 0.08, 0.07, 0.06, shade(c, 0.8))
        pen.curve(x, y, r, r, 0, 360, shade(c, 0.6), 0.018)


def building(pen: Pen, c: Colour, kind: str) -> None:
    roof = shade(c, 0.55)
    if kind == "church":
        pen.rect(0.36, 0.55, 0.92, 0.97, c)
        pen.poly([(0.32, 0.57), (0.46, 0.36), (0.84, 0.36), (0.96, 0.57)], roof)
        pen.rect(0.12, 0.42, 0.38, 0.97, shade(c, 1.08))
        pen.poly([(0.08, 0.44), (0.25, 0.1), (0.42, 0.44)], roof)
        pen.line([(0.25, 0.12), (0.25, -0.06)], DARK, 0.03)
        pen.line([(0.19, 0.0), (0.31, 0.0)], DARK, 0.03)
        pen.oval(0.25, 0.78, 0.07, 0.07, DARK, False)
        pen.rect(0.18, 0.78, 0.32, 0.97, DARK, False)
        for x in (0.5, 0.66, 0.82):
            pen.oval(x, 0.68, 0.04, 0.05, GLASS, False)
            pen.rect(x - 0.04, 0.68, x + 0.04, 0.82, GLASS, False)
    elif kind == "barn":
        pen.poly([(0.1, 0.97), (0.1, 0.52), (0.24, 0.3), (0.5, 0.18), (0.76, 0.3), (0.9, 0.52), (0.9, 0.97)], c)
        pen.line([(0.07, 0.54), (0.23, 0.29), (0.5, 0.16), (0.77, 0.29), (0.93, 0.54)], roof, 0.06)
        pen.rect(0.31, 0.57, 0.69, 0.97, shade(c, 0.8), False)
        for line in ([(0.31, 0.57), (0.69, 0.97)], [(0.69, 0.57), (0.31, 0.97)]):
            pen.line(line, LIGHT, 0.035)
        pen.line([(0.31, 0.97), (0.31, 0.57), (0.69, 0.57), (0.69, 0.97)], LIGHT, 0.04)
        pen.rect(0.43, 0.32, 0.57, 0.45, DARK)
    elif kind == "lighthouse":
        bands = 5
        for i in range(bands):
            y0, y1 = 0.3 + i * 0.67 / bands, 0.3 + (i + 1) * 0.67 / bands
            w0, w1 = 0.12 + 0.09 * i / bands, 0.12 + 0.09 * (i + 1) / bands
            side = [(0.5 - w0, y0), (0.5 + w0, y0), (0.5 + w1, y1), (0.5 - w1, y1)]
            pen.poly(side, LIGHT if (i % 2) ^ (min(c) > 200) else c)
        pen.rect(0.34, 0.26, 0.66, 0.31, DARK, False)
        pen.rect(0.41, 0.13, 0.59, 0.27, (255, 235, 130))
        pen.poly([(0.37, 0.14), (0.5, 0.01), (0.63, 0.14)], shade(c, 0.6))
        pen.poly([(0.62, 0.19), (1.0, 0.1), (1.0, 0.28)], (255, 244, 180), False)
    else:
        pen.rect(0.68, 0.16, 0.8, 0.45, (140, 80, 65))
        pen.rect(0.14, 0.5, 0.86, 0.97, c)
        pen.poly([(0.05, 0.52), (0.5, 0.16), (0.95, 0.52)], (120, 70, 60) if max(c) > 150 else shade(c, 0.6))
        pen.rect(0.42, 0.68, 0.58, 0.97, shade(c, 0.5))
        for x in (0.21, 0.65):
            pen.rect(x, 0.6, x + 0.15, 0.76, GLASS)
            pen.line([(x + 0.075, 0.6), (x + 0.075, 0.76)], LIGHT, 0.02)
            pen.line([(x, 0.68), (x + 0.15, 0.68)], LIGHT, 0.02)


def wheels(pen: Pen, *xs: float) -> None:
    for x in xs:
        pen.oval(x, 0.84, 0.1, 0.1, DARK, False)
        pen.oval(x, 0.84, 0.045, 0.045, METAL, False)


def vehicle(pen: Pen, c: Colour, kind: str) -> None:
    if kind == "garbage truck":
        pen.poly([(0.02, 0.42), (0.1, 0.22), (0.66, 0.22), (0.66, 0.82), (0.08, 0.82), (0.0, 0.66)], c)
        for x in (0.22, 0.34, 0.46, 0.58):
            pen.line([(x, 0.24), (x, 0.8)], shade(c, 0.65), 0.03)
        pen.poly([(0.0, 0.66), (0.02, 0.42), (0.12, 0.42), (0.12, 0.66)], DARK, False)
        pen.poly([(0.68, 0.4), (0.88, 0.4), (0.98, 0.6), (0.98, 0.82), (0.68, 0.82)], LIGHT if min(c) < 200 else METAL)
        pen.poly([(0.76, 0.44), (0.87, 0.44), (0.94, 0.6), (0.76, 0.6)], GLASS)
    elif kind == "school bus":
        pen.rect(0.02, 0.3, 0.82, 0.82, c)
        pen.poly([(0.82, 0.56), (0.96, 0.58), (0.99, 0.82), (0.82, 0.82)], c)
        for i in range(5):
            pen.rect(0.07 + i * 0.15, 0.37, 0.18 + i * 0.15, 0.52, GLASS)
        pen.line([(0.02, 0.62), (0.82, 0.62)], DARK, 0.035)
        pen.line([(0.02, 0.7), (0.82, 0.7)], DARK, 0.025)
    elif kind == "fire truck":
        pen.rect(0.02, 0.42, 0.66, 0.82, c)
        pen.poly([(0.66, 0.34), (0.9, 0.34), (0.98, 0.56), (0.98, 0.82), (0.66, 0.82)], c)
        pen.poly([(0.74, 0.4), (0.88, 0.4), (0.94, 0.56), (0.74, 0.56)], GLASS)
        pen.line([(0.02, 0.66), (0.98, 0.66)], LIGHT, 0.055)
        for y in (0.22, 0.33):
            pen.line([(0.0, y), (0.64, y)], METAL, 0.035)
        for i in range(6):
            pen.line([(0.05 + i * 0.11, 0.22), (0.05 + i * 0.11, 0.33)], METAL, 0.03)
        pen.rect(0.72, 0.26, 0.84, 0.34, (60, 110, 240))
    else:
        pen.poly(
            [(0.02, 0.58), (0.4, 0.58), (0.4, 0.36), (0.66, 0.36), (0.76, 0.57), (0.98, 0.6), (0.98, 0.82), (0.02, 0.82)], c
        )
        pen.poly([(0.45, 0.41), (0.63, 0.41), (0.7, 0.57), (0.45, 0.57)], GLASS)
        pen.line([(0.03, 0.6), (0.39, 0.6)], shade(c, 0.5), 0.05)
        pen.oval(0.95, 0.66, 0.03, 0.03, (255, 240, 170), False)
    wheels(pen, 0.2, 0.8)


def fish(pen: Pen, c: Colour, kind: str) -> None:
    fin = shade(c, 0.75)
    pen.poly([(0.2, 0.5), (0.0, 0.3), (0.05, 0.5), (0.0, 0.72)], fin)
    pen.poly([(0.4, 0.34), (0.5, 0.18), (0.68, 0.3)], fin)
    pen.poly([(0.45, 0.68), (0.5, 0.84), (0.62, 0.68)], fin)
    pen.oval(0.56, 0.5, 0.4, 0.2, c)
    pen.curve(0.62, 0.5, 0.14, 0.18, -75, 75, shade(c, 0.6), 0.025)
    for i in range(4):
        pen.curve(0.28 + i * 0.1, 0.5, 0.05, 0.08, -70, 70, shade(c, 0.7), 0.02)
    pen.oval(0.86, 0.45, 0.03, 0.03, DARK, False)


def dog(pen: Pen, c: Colour, kind: str) -> None:
    coat = LIGHT if min(c) < 200 else (205, 200, 196)
    for x in (0.18, 0.3, 0.58, 0.68):
        pen.rect(x, 0.6, x + 0.07, 0.95, coat)
    pen.line([(0.16, 0.48), (0.04, 0.3)], c, 0.06)
    pen.oval(0.44, 0.52, 0.32, 0.17, coat)
    pen.oval(0.3, 0.48, 0.15, 0.12, c, False)
    pen.oval(0.56, 0.46, 0.08, 0.09, c, False)
    pen.poly([(0.64, 0.52), (0.66, 0.28), (0.8, 0.3), (0.78, 0.52)], coat, False)
    pen.oval(0.77, 0.27, 0.13, 0.12, c)
    pen.oval(0.91, 0.31, 0.08, 0.055, coat)
    pen.oval(0.97, 0.29, 0.022, 0.022, DARK, False)
    pen.oval(0.68, 0.34, 0.06, 0.14, shade(c, 0.65))
    pen.oval(0.82, 0.24, 0.018, 0.018, DARK, False)


def horn(pen: Pen, c: Colour, kind: str) -> None:
    dark = shade(c, 0.6)
    pen.poly([(0.56, 0.6), (0.7, 0.52), (1.0, 0.7), (0.74, 1.0)], c)
    pen.oval(0.87, 0.85, 0.15, 0.15, shade(c, 0.75))
    for r in (0.34, 0.22):
        pen.curve(0.44, 0.44, r, r, 0, 360, dark, 0.11)
        pen.curve(0.44, 0.44, r, r, 0, 360, c, 0.075)
    pen.line([(0.14, 0.3), (0.0, 0.06)], dark, 0.06)
    for x in (0.38, 0.45, 0.52):
        pen.oval(x, 0.44, 0.03, 0.05, METAL, False)


def saw(pen: Pen, c: Colour, kind: str) -> None:
    pen.rect(0.4, 0.5, 0.96, 0.64, METAL)
    pen.oval(0.96, 0.57, 0.05, 0.07, METAL)
    for i in range(7):
        for y, tip in ((0.5, 0.45), (0.64, 0.69)):
            x = 0.46 + i * 0.075
            pen.poly([(x, y), (x + 0.025, tip), (x + 0.05, y)], DARK, False)
    pen.curve(0.22, 0.4, 0.16, 0.16, 150, 370, DARK, 0.055)
    pen.poly([(0.06, 0.42), (0.44, 0.4), (0.46, 0.74), (0.06, 0.76)], c)
    pen.rect(0.0, 0.5, 0.08, 0.7, DARK)
    pen.oval(0.26, 0.58, 0.08, 0.08, shade(c, 0.65), False)


def player(pen: Pen, c: Colour, kind: str) -> None:
    pen.line([(0.12, 0.3), (0.12, 0.16), (0.88, 0.16), (0.88, 0.3)], DARK, 0.05)
    pen.rect(0.03, 0.26, 0.97, 0.84, c)
    pen.rect(0.3, 0.36, 0.7, 0.62, LIGHT if min(c) < 200 else METAL)
    for x in (0.41, 0.59):
        pen.oval(x, 0.49, 0.065, 0.065, DARK, False)
        pen.oval(x, 0.49, 0.025, 0.025, LIGHT, False)
    for x in (0.165, 0.835):
        pen.oval(x, 0.5, 0.1, 0.13, DARK, False)
    for i in range(5):
        pen.rect(0.29 + i * 0.085, 0.68, 0.355 + i * 0.085, 0.77, DARK, False)


def pump(pen: Pen, c: Colour, kind: str) -> None:
    pen.line([(0.7, 0.34), (0.86, 0.36), (0.9, 0.6), (0.84, 0.84), (0.76, 0.74)], DARK, 0.045)
    pen.rect(0.24, 0.1, 0.7, 0.96, c)
    pen.rect(0.18, 0.92, 0.76, 1.0, DARK, False)
    pen.rect(0.31, 0.18, 0.63, 0.4, LIGHT)
    for y in (0.25, 0.33):
        pen.line([(0.35, y), (0.59, y)], DARK, 0.035)
    pen.oval(0.47, 0.62, 0.11, 0.11, LIGHT if min(c) < 200 else (200, 60, 50))
    pen.rect(0.66, 0.28, 0.78, 0.42, METAL)


def parachute(pen: Pen, c: Colour, kind: str) -> None:
    for x in (0.06, 0.34, 0.66, 0.94):
        pen.line([(x, 0.44), (0.5, 0.86)], DARK, 0.018)
    edge = [(0.5 + 0.46 * math.cos(math.radians(a)), 0.46 + 0.42 * math.sin(math.radians(a))) for a in range(180, 361, 6)]
    pen.poly(edge, c)
    other = LIGHT if min(c) < 200 else (235, 150, 70)
    for x0, x1 in ((0.22, 0.36), (0.64, 0.78)):
        low, high = (x0 - 0.5) / 0.46, (x1 - 0.5) / 0.46
        top = [(0.5 + 0.46 * u, 0.46 - 0.42 * math.sqrt(1 - u * u)) for u in np.linspace(low, high, 6)]
        pen.poly([(x0, 0.46), *top, (x1, 0.46)], other, False)
    for x in (0.13, 0.29, 0.5, 0.71, 0.87):
        pen.oval(x, 0.47, 0.08, 0.04, (150, 190, 225), False)
    pen.rect(0.43, 0.84, 0.57, 0.99, (110, 90, 70))


SKIN = [(244, 208, 177), (224, 172, 130), (176, 120, 82), (120, 78, 55)]
HAIR = [(60, 40, 30), (30, 28, 30), (200, 160, 80), (150, 75, 40)]


def doll(pen: Pen, c: Colour, outfit: str, person: str, rng: np.random.Generator) -> None:
    """A paper doll: a flat adult with no face and no features, in `outfit`."""
    skin, hair = SKIN[rng.integers(4)], HAIR[rng.integers(4)]
    long_hair = person == "woman" or (person != "man" and rng.random() < 0.5)
    if long_hair:
        pen.rect(0.385, 0.06, 0.615, 0.26, hair, False)
    shoes = DARK if outfit in ("coat", "shirt and trousers", "dress") else skin
    spread = float(rng.uniform(0.0, 0.05))
    for side in (-1, 1):
        foot = 0.5 + side * (0.1 + spread)
        hip = 0.5 + side * 0.07
        pen.line([(hip, 0.52), (foot, 0.95)], skin, 0.1)
        pen.line([(foot - 0.01, 0.965), (foot + side * 0.05, 0.965)], shoes, 0.06)
        hand = (0.5 + side * (0.26 + spread), 0.54)
        pen.line([(0.5 + side * 0.14, 0.25), hand], skin, 0.075)
        pen.oval(*hand, 0.045, 0.045, skin, False)
    pen.rect(0.46, 0.16, 0.54, 0.24, skin, False)
    torso = [(0.35, 0.22), (0.65, 0.22), (0.6, 0.4), (0.62, 0.56), (0.38, 0.56), (0.4, 0.4)]
    pen.poly(torso, skin, False)
    pen.oval(0.5, 0.1, 0.085, 0.1, skin, False)
    pen.curve(0.5, 0.09, 0.075, 0.075, 180, 360, hair, 0.06)
    if outfit in ("coat", "shirt and trousers"):
        for side in (-1, 1):
            hand = (0.5 + side * (0.25 + spread), 0.5)
            pen.line([(0.5 + side * 0.13, 0.25), hand], shade(c, 0.85), 0.1)
    if outfit == "coat":
        pen.poly([(0.33, 0.21), (0.67, 0.21), (0.66, 0.45), (0.72, 0.8), (0.28, 0.8), (0.34, 0.45)], c)
        pen.line([(0.5, 0.22), (0.5, 0.8)], shade(c, 0.5), 0.03)
        for y in (0.36, 0.48, 0.6):
            pen.oval(0.54, y, 0.018, 0.018, DARK if max(c) > 150 else LIGHT, False)
        pen.poly([(0.4, 0.2), (0.5, 0.32), (0.6, 0.2)], shade(c, 0.7), False)
    elif outfit == "shirt and trousers":
        trousers = (60, 65, 90) if c != COLOURS["blue"] else (110, 90, 70)
        for side in (-1, 1):
            foot = 0.5 + side * (0.1 + spread)
            pen.line([(0.5 + side * 0.065, 0.54), (foot, 0.93)], trousers, 0.13)
        pen.rect(0.37, 0.5, 0.63, 0.6, trousers, False)
        pen.poly([(0.34, 0.21), (0.66, 0.21), (0.63, 0.54), (0.37, 0.54)], c)
    elif outfit == "dress":
        pen.poly([(0.38, 0.21), (0.62, 0.21), (0.59, 0.42), (0.76, 0.78), (0.24, 0.78), (0.41, 0.42)], c)
        pen.line([(0.41, 0.42), (0.59, 0.42)], shade(c, 0.6), 0.04)
    elif outfit == "swimsuit":
        pen.poly(
            [
                (0.4, 0.21),
                (0.44, 0.28),
                (0.56, 0.28),
                (0.6, 0.21),
                (0.63, 0.36),
                (0.62, 0.5),
                (0.54, 0.6),
                (0.46, 0.6),
                (0.38, 0.5),
                (0.37, 0.36),
            ],
            c,
        )


PAINTERS: dict[str, Callable[[Pen, Colour, str], None]] = {
    **dict.fromkeys(("golf ball", "tennis ball", "basketball", "beach ball"), ball),
    **dict.fromkeys(("church", "barn", "lighthouse", "house"), building),
    **dict.fromkeys(("garbage truck", "school bus", "fire truck", "pickup"), vehicle),
    "tench": fish,
    "english springer": dog,
    "french horn": horn,
    "chain saw": saw,
    "cassette player": player,
    "gas pump": pump,
    "parachute": parachute,
}


def _place(canvas: Image.Image, place: str, rng: np.random.Generator) -> None:
    pen = Pen(canvas, 0, 0, 1, bool(rng.random() < 0.5))
    tone = float(rng.uniform(0.92, 1.06))
    line = float(rng.uniform(0.52, 0.64))
    sky = shade(
        {"snow": (205, 218, 230), "desert": (250, 222, 170), "street": (190, 205, 220)}.get(place, (160, 208, 240)), tone
    )
    if place == "room":
        pen.rect(0, 0, 1, line + 0.12, shade((226, 206, 178), tone), False)
        pen.rect(0, line + 0.12, 1, 1, shade((150, 105, 72), tone), False)
        pen.rect(0, line + 0.1, 1, line + 0.13, LIGHT, False)
        x = float(rng.uniform(0.02, 0.12))
        pen.rect(x, 0.08, x + 0.24, 0.36, (175, 212, 235))
        pen.line([(x + 0.12, 0.08), (x + 0.12, 0.36)], LIGHT, 0.02)
        return
    pen.rect(0, 0, 1, line, sky, False)
    x = float(rng.uniform(0.0, 0.2))
    if place == "park":
        pen.rect(0, line, 1, 1, shade((120, 185, 90), tone), False)
        for dx in (0.02, 0.82):
            pen.rect(x * 0.5 + dx + 0.03, line - 0.14, x * 0.5 + dx + 0.06, line + 0.05, (110, 80, 55), False)
            pen.oval(x * 0.5 + dx + 0.045, line - 0.2, 0.1, 0.13, shade((70, 140, 70), tone), False)
    elif place == "beach":
        pen.rect(0, line - 0.12, 1, line + 0.06, shade((60, 140, 190), tone), False)
        pen.rect(0, line + 0.06, 1, 1, shade((238, 215, 160), tone), False)
        pen.oval(0.85 - x * 0.5, 0.12, 0.07, 0.07, (255, 236, 140), False)
    elif place == "street":
        for i in range(4):
            top = float(rng.uniform(0.12, 0.35))
            pen.rect(i * 0.26, top, i * 0.26 + 0.24, line + 0.02, shade((165, 160, 165), float(rng.uniform(0.85, 1.1))), False)
        pen.rect(0, line, 1, 1, shade((120, 120, 126), tone), False)
        for i in range(3):
            pen.rect(0.08 + i * 0.34, 0.88, 0.26 + i * 0.34, 0.92, LIGHT, False)
    elif place == "snow":
        pen.rect(0, line, 1, 1, shade((242, 246, 252), min(tone, 1)), False)
        for _ in range(14):
            pen.oval(float(rng.random()), float(rng.random()) * 0.6, 0.012, 0.012, (255, 255, 255), False)
        pen.poly([(0.04 + x, line), (0.12 + x, line - 0.24), (0.2 + x, line)], (95, 125, 110), False)
    else:
        pen.rect(0, line, 1, 1, shade((226, 178, 105), tone), False)
        pen.oval(0.2 + x, line + 0.03, 0.3, 0.1, shade((214, 162, 92), tone), False)
        pen.oval(0.85, line + 0.05, 0.28, 0.09, shade((214, 162, 92), tone), False)
        pen.oval(0.8 - x, 0.14, 0.08, 0.08, (255, 240, 170), False)


def picture(scene: Scene) -> np.ndarray:
    """`scene` as an image, (64, 64, 3) uint8. The same on every machine with the same Pillow."""
    rng = generator(scene.layout)
    canvas = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE))
    _place(canvas, scene.place, rng)
    mirrored = bool(rng.random() < 0.5)
    if scene.subject != NOTHING:
        colour = shade(COLOURS[scene.colour], float(rng.uniform(0.92, 1.08)))
        if scene.subject in PAINTERS:
            size = float(rng.uniform(0.6, 0.74))
            pen = Pen(canvas, float(rng.uniform(0.06, 0.94 - size)), float(rng.uniform(0.2, 0.97 - size)), size, mirrored)
            PAINTERS[scene.subject](pen, colour, scene.subject)
        else:
            size = float(rng.uniform(0.86, 0.94))
            pen = Pen(canvas, float(rng.uniform(-0.08, 1.08 - size)), float(rng.uniform(0.03, 0.98 - size)), size, mirrored)
            doll(pen, colour, scene.subject, scene.person, rng)
    small = canvas.resize((SIZE, SIZE), Image.Resampling.BOX)
    return apply(scene.style, np.asarray(small), rng)
