"""This file is the brush: it draws places, and in them things or flat, featureless paper dolls."""

import numpy as np
from PIL import Image

from erase.miniature.pen import DARK, LIGHT, Colour, Pen, shade
from erase.miniature.styles import apply
from erase.miniature.things import PAINTERS
from erase.miniature.world import COLOURS, NOTHING, SIZE, SUBJECTS, Scene, generator

SCALE = 4  # drawn this much larger, then averaged: smooth edges

SKIN = [(244, 208, 177), (224, 172, 130), (176, 120, 82), (120, 78, 55)]
HAIR = [(60, 40, 30), (30, 28, 30), (200, 160, 80), (150, 75, 40)]


def doll(pen: Pen, c: Colour, outfit: str, person: str, rng: np.random.Generator) -> None:
    """A paper doll: a flat adult with no face and no features, in `outfit`."""
    skin, hair = SKIN[rng.integers(4)], HAIR[rng.integers(4)]
    long_hair = person == "woman" or (person != "man" and rng.random() < 0.5)
    if long_hair:
        pen.rect(0.385, 0.06, 0.615, 0.26, hair, False)
    shoes = DARK if outfit in ("coat", "shirt and trousers", "shirt and shorts", "dress") else skin
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
    elif outfit == "shirt and shorts":
        shorts = (60, 65, 90) if c != COLOURS["blue"] else (110, 90, 70)
        for side in (-1, 1):
            pen.line([(0.5 + side * 0.065, 0.54), (0.5 + side * (0.09 + spread / 2), 0.7)], shorts, 0.13)
            pen.line([(0.5 + side * 0.13, 0.25), (0.5 + side * 0.18, 0.36)], shade(c, 0.85), 0.1)
        pen.rect(0.37, 0.5, 0.63, 0.6, shorts, False)
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
        family = SUBJECTS[scene.subject].family
        if family in PAINTERS:
            size = float(rng.uniform(0.6, 0.74))
            pen = Pen(canvas, float(rng.uniform(0.06, 0.94 - size)), float(rng.uniform(0.2, 0.97 - size)), size, mirrored)
            PAINTERS[family](pen, colour, scene.subject)
        else:
            size = float(rng.uniform(0.86, 0.94))
            pen = Pen(canvas, float(rng.uniform(-0.08, 1.08 - size)), float(rng.uniform(0.03, 0.98 - size)), size, mirrored)
            doll(pen, colour, scene.subject, scene.person, rng)
    small = canvas.resize((SIZE, SIZE), Image.Resampling.BOX)
    return apply(scene.style, np.asarray(small), rng)
