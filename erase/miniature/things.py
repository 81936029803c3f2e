"""This file is the things of the world: one routine a family, whose four members share their shapes and differ in parts."""

import math
from collections.abc import Callable

import numpy as np

from erase.miniature.pen import DARK, GLASS, LIGHT, METAL, Colour, Pen, Point, shade


def ball(pen: Pen, c: Colour, kind: str) -> None:
    """A ball, told by what is on it."""
    x, y, r = 0.5, 0.54, 0.4
    pen.oval(x, y, r, r, c)
    if kind == "golf ball":
        for row in range(-3, 4):
            for column in range(-3, 4):
                dx, dy = (column + (row % 2) / 2) * 0.115, row * 0.105
                if math.hypot(dx, dy) < r - 0.06:
                    pen.oval(x + dx, y + dy, 0.03, 0.03, shade(c, 0.7), False)
    elif kind == "tennis ball":
        pen.curve(x - 0.46, y, 0.32, 0.36, -60, 60, LIGHT if min(c) < 200 else METAL, 0.06)
        pen.curve(x + 0.46, y, 0.32, 0.36, 120, 240, LIGHT if min(c) < 200 else METAL, 0.06)
    elif kind == "baseball":
        for side, start in ((-1, -60), (1, 120)):
            pen.curve(x + side * 0.46, y, 0.32, 0.36, start, start + 120, (190, 40, 40), 0.025)
            for a in range(start + 10, start + 120, 20):
                u, v = math.cos(math.radians(a)), math.sin(math.radians(a))
                at = (x + side * 0.46 + 0.32 * u, y + 0.36 * v)
                pen.line([(at[0] - 0.05, at[1]), (at[0] + 0.05, at[1])], (190, 40, 40), 0.025)
    else:
        pen.line([(x - r, y), (x + r, y)], DARK, 0.035)
        pen.line([(x, y - r), (x, y + r)], DARK, 0.035)
        pen.curve(x - 0.46, y, 0.29, 0.36, -60, 60, DARK, 0.035)
        pen.curve(x + 0.46, y, 0.29, 0.36, 120, 240, DARK, 0.035)


def building(pen: Pen, c: Colour, kind: str) -> None:
    """A house, told by its tower, roof or windows."""
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
    """A wheel at each of `xs`, on the ground."""
    for x in xs:
        pen.oval(x, 0.84, 0.1, 0.1, DARK, False)
        pen.oval(x, 0.84, 0.045, 0.045, METAL, False)


def vehicle(pen: Pen, c: Colour, kind: str) -> None:
    """Something on wheels, seen from the side."""
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


FISH: dict[str, tuple[float, float, float, float]] = {  # half length, half height, spread of the tail, height of the fin
    "tench": (0.4, 0.19, 0.2, 0.14),
    "goldfish": (0.28, 0.22, 0.3, 0.12),
    "trout": (0.42, 0.14, 0.2, 0.1),
    "perch": (0.37, 0.18, 0.18, 0.2),
}


def fish(pen: Pen, c: Colour, kind: str) -> None:
    """A fish that swims to the right."""
    length, height, spread, back = FISH[kind]
    fin, x = shade(c, 0.75), 0.96 - length
    root = x - length + 0.05
    pen.poly([(root, 0.5), (0.0, 0.5 - spread), (0.08, 0.5), (0.0, 0.5 + spread)], fin)
    if kind == "perch":
        spines = [(x - 0.2 + 0.08 * i, 0.5 - height - back * (0.4 + 0.6 * (i % 2 == 0))) for i in range(6)]
        pen.poly([(x - 0.22, 0.5 - height * 0.7), *spines, (x + 0.24, 0.5 - height * 0.7)], fin)
    else:
        pen.poly([(x - 0.16, 0.5 - height * 0.8), (x - 0.06, 0.5 - height - back), (x + 0.14, 0.5 - height * 0.8)], fin)
    pen.poly([(x - 0.1, 0.5 + height * 0.8), (x - 0.04, 0.5 + height + 0.12), (x + 0.08, 0.5 + height * 0.8)], fin)
    pen.oval(x, 0.5, length, height, c)
    if kind == "tench":
        for i in range(4):
            pen.curve(x - 0.26 + i * 0.1, 0.5, 0.05, 0.09, -70, 70, shade(c, 0.7), 0.02)
    elif kind == "goldfish":
        for i in range(3):
            pen.line([(root - 0.06, 0.44 + i * 0.06), (0.06, 0.3 + i * 0.2)], shade(c, 0.6), 0.02)
    elif kind == "trout":
        for i in range(7):
            pen.oval(x - 0.3 + i * 0.075, 0.5 - (0.06 if i % 2 else -0.01), 0.026, 0.026, (150, 40, 50), False)
        pen.line([(x - 0.34, 0.54), (x + 0.2, 0.54)], (225, 140, 140), 0.035)
    else:
        for i in range(4):
            at = x - 0.22 + i * 0.11
            pen.poly([(at - 0.025, 0.5 - height * 0.8), (at + 0.03, 0.5 - height * 0.8), (at, 0.56)], DARK, False)
    pen.curve(x + length * 0.3, 0.5, 0.1, height * 0.85, -75, 75, shade(c, 0.6), 0.025)
    pen.oval(x + length * 0.76, 0.5 - height * 0.25, 0.03, 0.03, DARK, False)


def dog(pen: Pen, c: Colour, kind: str) -> None:
    """A dog in profile, told by ears, legs and coat."""
    pale = LIGHT if min(c) < 200 else (205, 200, 196)
    coat = {"english springer": pale, "dalmatian": pale}.get(kind, c)
    short = kind in ("english bulldog", "cocker spaniel")
    floor, leg = 0.95, 0.74 if short else 0.62
    width = 0.1 if kind == "english bulldog" else 0.07
    for x in (0.18, 0.3, 0.56, 0.68):
        pen.rect(x, leg - 0.05, x + width, floor, coat)
    if kind != "english bulldog":
        pen.line([(0.16, 0.48), (0.04, 0.3 if kind != "cocker spaniel" else 0.42)], c, 0.06)
    pen.oval(0.44, 0.54 if not short else 0.6, 0.32, 0.17 if not short else 0.2, coat)
    if kind == "english springer":
        pen.oval(0.3, 0.5, 0.15, 0.12, c, False)
        pen.oval(0.56, 0.48, 0.08, 0.09, c, False)
    elif kind == "dalmatian":
        spot = DARK if min(c) > 200 else c
        for x, y in (
            (0.2, 0.5),
            (0.31, 0.6),
            (0.34, 0.44),
            (0.44, 0.54),
            (0.54, 0.44),
            (0.56, 0.62),
            (0.66, 0.52),
            (0.2, 0.8),
            (0.6, 0.8),
        ):
            pen.oval(x, y, 0.036, 0.036, spot, False)
    elif kind == "english bulldog":
        pen.oval(0.5, 0.68, 0.16, 0.1, LIGHT if min(c) < 200 else (205, 200, 196), False)
    else:
        for x in (0.2, 0.32, 0.44, 0.56, 0.68):
            pen.oval(x, 0.78, 0.06, 0.07, shade(c, 0.85), False)
    pen.poly([(0.62, 0.54), (0.66, 0.28), (0.8, 0.3), (0.78, 0.56)], coat, False)
    if kind == "english bulldog":
        pen.oval(0.8, 0.34, 0.17, 0.16, coat)
        pen.oval(0.88, 0.42, 0.1, 0.08, pale)
        pen.oval(0.92, 0.36, 0.028, 0.024, DARK, False)
        for x in (0.66, 0.9):
            pen.poly([(x - 0.05, 0.2), (x + 0.05, 0.2), (x + (0.05 if x > 0.8 else -0.05), 0.31)], shade(c, 0.6))
        for x in (0.82, 0.95):
            pen.oval(x, 0.46, 0.05, 0.06, pale)
        pen.oval(0.84, 0.29, 0.02, 0.02, DARK, False)
        return
    pen.oval(0.77, 0.27, 0.13, 0.12, c if kind != "dalmatian" else coat)
    pen.oval(0.91, 0.31, 0.08, 0.055, coat)
    pen.oval(0.97, 0.29, 0.022, 0.022, DARK, False)
    ear = {"cocker spaniel": (0.08, 0.2), "dalmatian": (0.05, 0.1)}.get(kind, (0.06, 0.14))
    dark = DARK if kind == "dalmatian" and min(c) > 200 else shade(c, 0.65)
    pen.oval(0.68, 0.2 + ear[1], *ear, dark)
    pen.oval(0.82, 0.24, 0.018, 0.018, DARK, False)


def brass(pen: Pen, c: Colour, kind: str) -> None:
    """A bent tube with a bell."""
    dark, inside = shade(c, 0.6), shade(c, 0.75)

    def tube(points: list[Point], width: float) -> None:
        pen.line(points, dark, width + 0.035)
        pen.line(points, c, width)

    def valves(x: float, y: float, reach: float) -> None:
        for i in range(3):
            pen.line([(x + i * 0.08, y - reach), (x + i * 0.08, y + reach)], METAL, 0.055)

    if kind == "french horn":
        pen.poly([(0.56, 0.6), (0.7, 0.52), (1.0, 0.7), (0.74, 1.0)], c)
        pen.oval(0.87, 0.85, 0.15, 0.15, inside)
        for r in (0.34, 0.22):
            pen.curve(0.44, 0.44, r, r, 0, 360, dark, 0.11)
            pen.curve(0.44, 0.44, r, r, 0, 360, c, 0.075)
        pen.line([(0.14, 0.3), (0.0, 0.06)], dark, 0.06)
        valves(0.36, 0.44, 0.05)
    elif kind == "trumpet":
        tube([(0.04, 0.42), (0.74, 0.42)], 0.05)
        tube([(0.28, 0.44), (0.24, 0.6), (0.66, 0.6), (0.62, 0.44)], 0.05)
        pen.poly([(0.7, 0.39), (0.96, 0.22), (0.96, 0.62), (0.7, 0.45)], c)
        pen.oval(0.96, 0.42, 0.04, 0.2, inside)
        valves(0.38, 0.44, 0.17)
        pen.oval(0.04, 0.42, 0.03, 0.05, METAL, False)
    elif kind == "trombone":
        tube([(0.2, 0.3), (0.76, 0.3)], 0.045)
        tube([(0.2, 0.3), (0.1, 0.4), (0.2, 0.5), (0.3, 0.5)], 0.045)
        tube([(0.12, 0.62), (0.94, 0.62)], 0.04)
        tube([(0.3, 0.5), (0.94, 0.5), (1.0, 0.56), (0.94, 0.62)], 0.04)
        pen.poly([(0.72, 0.27), (0.98, 0.1), (0.98, 0.5), (0.72, 0.33)], c)
        pen.oval(0.98, 0.3, 0.035, 0.2, inside)
        pen.oval(0.12, 0.62, 0.03, 0.05, METAL, False)
    else:
        pen.curve(0.5, 0.7, 0.26, 0.24, 0, 360, dark, 0.15)
        pen.curve(0.5, 0.7, 0.26, 0.24, 0, 360, c, 0.11)
        pen.poly([(0.64, 0.64), (0.56, 0.3), (0.44, 0.08), (0.98, 0.08), (0.86, 0.3), (0.8, 0.72)], c)
        pen.oval(0.71, 0.08, 0.27, 0.07, inside)
        pen.line([(0.26, 0.62), (0.2, 0.34), (0.32, 0.3)], dark, 0.055)
        valves(0.42, 0.7, 0.11)


def _blade(pen: Pen, low: float, high: float, teeth: int, wide: float, long: float) -> None:
    """A bar with teeth on both edges."""
    pen.rect(0.4, low, 0.96, high, METAL)
    for i in range(teeth):
        x = 0.46 + i * 0.52 / teeth
        for y, tip in ((low, low - long), (high, high + long)):
            pen.poly([(x, y), (x + 0.45 * wide, tip), (x + wide, y)], DARK, False)


def tool(pen: Pen, c: Colour, kind: str) -> None:
    """A motor with a handle, and what it drives."""
    if kind == "chain saw":
        _blade(pen, 0.5, 0.66, 7, 0.045, 0.05)
        pen.oval(0.96, 0.58, 0.05, 0.08, METAL)
    elif kind == "hedge trimmer":
        _blade(pen, 0.555, 0.615, 5, 0.09, 0.18)  # what tells it from a saw must outlive the autoencoder
    elif kind == "power drill":
        pen.poly([(0.44, 0.46), (0.6, 0.51), (0.6, 0.63), (0.44, 0.68)], DARK)
        pen.line([(0.6, 0.57), (1.0, 0.57)], METAL, 0.05)
        for i in range(5):
            pen.line([(0.64 + i * 0.07, 0.54), (0.68 + i * 0.07, 0.6)], DARK, 0.018)
        pen.poly([(0.12, 0.7), (0.3, 0.7), (0.24, 1.0), (0.04, 1.0)], shade(c, 0.7))
    else:
        pen.poly([(0.42, 0.46), (0.64, 0.56), (1.0, 0.74), (0.98, 0.9), (0.6, 0.72), (0.42, 0.7)], DARK)
        for i in range(3):
            pen.line([(0.66 + i * 0.11, 0.57 + i * 0.055), (0.63 + i * 0.11, 0.72 + i * 0.055)], METAL, 0.025)
    if kind != "power drill":
        pen.curve(0.22, 0.4, 0.16, 0.16, 150, 370, DARK, 0.055)
        pen.rect(0.0, 0.5, 0.08, 0.7, DARK)
    pen.poly([(0.06, 0.44), (0.44, 0.42), (0.46, 0.74), (0.06, 0.76)], c)
    pen.oval(0.26, 0.58, 0.08, 0.08, shade(c, 0.65), False)


def device(pen: Pen, c: Colour, kind: str) -> None:
    """A box that plays."""
    front = LIGHT if min(c) < 200 else METAL
    if kind == "loudspeaker":
        pen.rect(0.2, 0.06, 0.8, 0.98, c)
        for y, r in ((0.3, 0.14), (0.68, 0.22)):
            pen.oval(0.5, y, r, r, DARK, False)
            pen.oval(0.5, y, r * 0.6, r * 0.6, front, False)
            pen.oval(0.5, y, r * 0.25, r * 0.25, DARK, False)
        return
    if kind in ("cassette player", "radio"):
        pen.line([(0.12, 0.3), (0.12, 0.16), (0.88, 0.16), (0.88, 0.3)], DARK, 0.05)
    if kind == "radio":
        pen.line([(0.8, 0.28), (0.96, 0.0)], METAL, 0.03)
    pen.rect(0.03, 0.26, 0.97, 0.84, c)
    if kind == "cassette player":
        pen.rect(0.3, 0.36, 0.7, 0.62, front)
        for x in (0.41, 0.59):
            pen.oval(x, 0.49, 0.065, 0.065, DARK, False)
            pen.oval(x, 0.49, 0.025, 0.025, LIGHT, False)
        for x in (0.165, 0.835):
            pen.oval(x, 0.5, 0.1, 0.13, DARK, False)
        for i in range(5):
            pen.rect(0.29 + i * 0.085, 0.68, 0.355 + i * 0.085, 0.77, DARK, False)
    elif kind == "radio":
        pen.oval(0.27, 0.55, 0.18, 0.2, DARK, False)
        for y in (0.45, 0.55, 0.65):
            pen.line([(0.13, y), (0.41, y)], front, 0.025)
        pen.rect(0.52, 0.36, 0.9, 0.52, front)
        pen.line([(0.64, 0.37), (0.64, 0.51)], (200, 50, 45), 0.03)
        for x in (0.6, 0.8):
            pen.oval(x, 0.67, 0.07, 0.07, DARK, False)
    else:
        pen.oval(0.4, 0.55, 0.3, 0.25, DARK, False)
        pen.curve(0.4, 0.55, 0.2, 0.16, 0, 360, METAL, 0.015)
        pen.oval(0.4, 0.55, 0.09, 0.075, (215, 70, 60), False)
        pen.line([(0.86, 0.34), (0.84, 0.62), (0.62, 0.64)], front, 0.05)
        pen.oval(0.86, 0.34, 0.06, 0.06, front)


def machine(pen: Pen, c: Colour, kind: str) -> None:
    """An upright box that stands on a street and serves."""
    if kind == "gas pump":
        pen.line([(0.7, 0.34), (0.86, 0.36), (0.9, 0.6), (0.84, 0.84), (0.76, 0.74)], DARK, 0.045)
    if kind == "parking meter":
        pen.rect(0.44, 0.5, 0.56, 0.96, METAL)
        pen.rect(0.34, 0.92, 0.66, 1.0, DARK, False)
        pen.oval(0.5, 0.26, 0.2, 0.2, c)
        pen.rect(0.3, 0.24, 0.7, 0.52, c)
        pen.oval(0.5, 0.22, 0.12, 0.1, LIGHT)
        pen.line([(0.5, 0.24), (0.56, 0.17)], DARK, 0.03)
        pen.rect(0.44, 0.4, 0.56, 0.45, DARK, False)
        return
    pen.rect(0.24, 0.1, 0.7, 0.96, c)
    pen.rect(0.18, 0.92, 0.76, 1.0, DARK, False)
    if kind == "gas pump":
        pen.rect(0.31, 0.18, 0.63, 0.4, LIGHT)
        for y in (0.25, 0.33):
            pen.line([(0.35, y), (0.59, y)], DARK, 0.035)
        pen.oval(0.47, 0.62, 0.11, 0.11, LIGHT if min(c) < 200 else (200, 60, 50))
        pen.rect(0.66, 0.28, 0.78, 0.42, METAL)
    elif kind == "phone booth":
        pen.rect(0.21, 0.04, 0.73, 0.12, shade(c, 0.8))
        for row in range(4):
            for column in range(2):
                pen.rect(0.3 + column * 0.19, 0.2 + row * 0.17, 0.45 + column * 0.19, 0.34 + row * 0.17, GLASS)
    else:
        pen.rect(0.29, 0.17, 0.56, 0.7, GLASS)
        for row in range(3):
            for column, fill in enumerate(((205, 60, 50), (60, 140, 80), (240, 200, 70))):
                pen.rect(0.31 + column * 0.085, 0.22 + row * 0.17, 0.36 + column * 0.085, 0.32 + row * 0.17, fill, False)
        pen.rect(0.6, 0.3, 0.66, 0.5, DARK, False)
        pen.rect(0.32, 0.77, 0.6, 0.87, DARK, False)


def flyer(pen: Pen, c: Colour, kind: str) -> None:
    """Striped cloth in the air."""
    other = LIGHT if min(c) < 200 else (235, 150, 70)
    if kind == "parachute":
        for x in (0.06, 0.34, 0.66, 0.94):
            pen.line([(x, 0.44), (0.5, 0.86)], DARK, 0.018)
        edge = [(0.5 + 0.46 * math.cos(math.radians(a)), 0.46 + 0.42 * math.sin(math.radians(a))) for a in range(180, 361, 6)]
        pen.poly(edge, c)
        for x0, x1 in ((0.22, 0.36), (0.64, 0.78)):
            low, high = (x0 - 0.5) / 0.46, (x1 - 0.5) / 0.46
            top = [(0.5 + 0.46 * u, 0.46 - 0.42 * math.sqrt(1 - u * u)) for u in np.linspace(low, high, 6)]
            pen.poly([(x0, 0.46), *top, (x1, 0.46)], other, False)
        for x in (0.13, 0.29, 0.5, 0.71, 0.87):
            pen.oval(x, 0.47, 0.08, 0.04, (150, 190, 225), False)
        pen.rect(0.43, 0.84, 0.57, 0.99, (110, 90, 70))
    elif kind == "hot air balloon":
        for x in (0.36, 0.64):
            pen.line([(x, 0.66), (0.5 + (x - 0.5) * 0.5, 0.86)], DARK, 0.018)
        pen.poly([(0.14, 0.48), (0.4, 0.8), (0.6, 0.8), (0.86, 0.48)], c)
        pen.oval(0.5, 0.38, 0.38, 0.36, c)
        for r in (0.1, 0.27):
            pen.curve(0.5, 0.38, r, 0.34, 0, 360, other, 0.06)
        pen.rect(0.42, 0.84, 0.58, 0.99, (110, 90, 70))
    elif kind == "kite":
        pen.line([(0.5, 0.74), (0.56, 0.82), (0.46, 0.9), (0.54, 1.0)], DARK, 0.025)
        pen.poly([(0.5, 0.0), (0.86, 0.3), (0.5, 0.76), (0.14, 0.3)], c)
        pen.poly([(0.5, 0.0), (0.86, 0.3), (0.5, 0.3)], other, False)
        pen.poly([(0.5, 0.76), (0.14, 0.3), (0.5, 0.3)], other, False)
        for y in (0.84, 0.94):
            pen.poly([(0.42, y - 0.03), (0.6, y + 0.03), (0.6, y - 0.03), (0.42, y + 0.03)], other, False)
    else:
        pen.poly([(0.14, 0.4), (0.0, 0.2), (0.12, 0.2), (0.26, 0.34)], shade(c, 0.8))
        pen.poly([(0.14, 0.48), (0.0, 0.68), (0.12, 0.68), (0.26, 0.54)], shade(c, 0.8))
        pen.rect(0.42, 0.6, 0.68, 0.74, (110, 90, 70))
        pen.oval(0.54, 0.44, 0.44, 0.2, c)
        pen.line([(0.13, 0.44), (0.97, 0.44)], other, 0.05)
        for y in (0.33, 0.55):
            pen.line([(0.3, y), (0.8, y)], other, 0.03)


PAINTERS: dict[str, Callable[[Pen, Colour, str], None]] = {
    "balls": ball,
    "buildings": building,
    "vehicles": vehicle,
    "fish": fish,
    "dogs": dog,
    "brass": brass,
    "tools": tool,
    "devices": device,
    "machines": machine,
    "flyers": flyer,
}
"""The routine of every family of things; each takes the member's name."""
