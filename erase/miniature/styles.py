"""This file is the looks: filters that turn a plain picture into a painting, a sketch, a sign."""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Array = np.ndarray


def _grey(x: Array) -> Array:
    return x @ np.array([0.299, 0.587, 0.114])


def _edges(x: Array) -> Array:
    """Strength of the strongest channel's gradient, (height, width), about 0 to 1."""
    dy = np.abs(np.diff(x, axis=0, append=x[-1:])).max(-1)
    dx = np.abs(np.diff(x, axis=1, append=x[:, -1:])).max(-1)
    return np.clip(np.hypot(dx, dy) * 2.2, 0, 1)


def _blur(x: Array, radius: float) -> Array:
    image = Image.fromarray((np.clip(x, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float64) / 255


def _smooth_noise(rng: np.random.Generator, edge: int, cells: int) -> Array:
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((edge, edge), Image.Resampling.BICUBIC), np.float64) / 255


def van_gogh(x: Array, rng: np.random.Generator) -> Array:
    """Strokes of noise drawn out along a swirling field, over colours pulled to blue and yellow."""
    edge = len(x)
    yy, xx = np.mgrid[:edge, :edge].astype(float)
    angle = np.zeros((edge, edge))
    for _ in range(3):
        cx, cy = rng.uniform(0, edge, 2)
        angle += np.arctan2(yy - cy, xx - cx) / 1.5
    u, v = np.cos(angle + np.pi / 2), np.sin(angle + np.pi / 2)
    noise = rng.random((edge, edge))
    strokes, smear = np.zeros((edge, edge)), np.zeros_like(x)
    for k in range(-4, 5):
        iy = np.clip(np.rint(yy + k * v), 0, edge - 1).astype(int)
        ix = np.clip(np.rint(xx + k * u), 0, edge - 1).astype(int)
        strokes += noise[iy, ix] / 9
        if abs(k) <= 1:
            smear += x[iy, ix] / 3
    light = _grey(smear)[..., None]
    palette = (1 - light) * np.array([0.08, 0.16, 0.5]) + light * np.array([1.0, 0.86, 0.35])
    return 0.5 * smear + 0.5 * palette + (strokes - 0.5)[..., None] * 0.9


def pencil_sketch(x: Array, rng: np.random.Generator) -> Array:
    """Dark edges on paper, hatching where the picture is dark."""
    yy, xx = np.mgrid[: len(x), : len(x)]
    hatch = ((xx + yy) % 4 == 0) * np.clip(0.75 - _grey(x), 0, 0.5)
    page = 0.95 - 0.85 * _edges(x) - 0.55 * hatch - 0.12 * (1 - _grey(x)) + rng.normal(0, 0.015, x.shape[:2])
    return np.repeat(page[..., None], 3, -1)


def pixel_art(x: Array, rng: np.random.Generator) -> Array:
    """Blocks of three pixels and a palette of seven levels a channel."""
    image = Image.fromarray((x * 255).astype(np.uint8)).resize((22, 22), Image.Resampling.BOX)
    blocks = np.rint(np.asarray(image, np.float64) / 255 * 6) / 6
    big = np.repeat(np.repeat(blocks, 3, 0), 3, 1)[: len(x), : len(x)]
    lines = np.ones((len(x), len(x), 1))
    lines[::3] = lines[:, ::3] = 0.88
    return big * lines


def watercolor(x: Array, rng: np.random.Generator) -> Array:
    """Pale washes that pool at the edges, on a white sheet with a ragged border."""
    wet = _blur(x, 1.0)
    wash = _smooth_noise(rng, len(x), 9)[..., None]
    pale = 1 - (1 - wet) * (0.45 + 0.5 * wash) - 0.18 * _edges(x)[..., None]
    ramp = np.minimum(np.arange(len(x)), np.arange(len(x))[::-1])
    inside = np.minimum(ramp[:, None], ramp[None]) + 7 * (_smooth_noise(rng, len(x), 12) - 0.5)
    sheet = np.clip((inside - 3) / 2.5, 0, 1)[..., None]
    return sheet * pale + (1 - sheet) * 0.98


def neon(x: Array, rng: np.random.Generator) -> Array:
    """Glowing outlines in two colours on black."""
    first = float(rng.random())
    hues = [np.array(colorsys.hsv_to_rgb((first + d) % 1, 0.85, 1)) for d in (0, 0.4)]
    edges = _edges(x)[..., None]
    mix = (_blur(x, 2.0).mean(-1, keepdims=True) > 0.55).astype(float)
    tubes = edges * (mix * hues[0] + (1 - mix) * hues[1])
    return np.array([0.03, 0.02, 0.07]) + tubes * 1.1 + _blur(np.clip(tubes, 0, 1), 2.0) * 0.8


def mosaic(x: Array, rng: np.random.Generator) -> Array:
    """Tiles of one colour each, around scattered centres, with light grout between."""
    edge, cell = len(x), 4
    n = edge // cell + 2
    yy, xx = np.mgrid[:edge, :edge]
    centres = np.moveaxis(np.mgrid[:n, :n], 0, -1) * cell - cell // 2 + rng.uniform(-1.1, 1.1, (n, n, 2)) + cell / 2
    iy, ix = yy // cell + 1, xx // cell + 1
    distance, which = [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            jy, jx = np.clip(iy + dy, 0, n - 1), np.clip(ix + dx, 0, n - 1)
            c = centres[jy, jx]
            distance.append(np.hypot(yy - c[..., 0], xx - c[..., 1]))
            which.append(jy * n + jx)
    order = np.argsort(np.stack(distance), axis=0)
    nearest = np.take_along_axis(np.stack(which), order[:1], 0)[0]
    two = np.take_along_axis(np.stack(distance), order[:2], 0)
    count = np.bincount(nearest.ravel(), minlength=n * n)
    sums: Array = np.stack([np.bincount(nearest.ravel(), x[..., k].ravel(), n * n) for k in range(3)], -1)
    tiles = (sums / np.maximum(count, 1)[:, None])[nearest] * (0.9 + 0.2 * rng.random(n * n)[nearest])[..., None]
    grout = (two[1] - two[0] < 0.5)[..., None]
    return np.where(grout, 0.5 * tiles + 0.43, tiles)


FILTERS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "van gogh": van_gogh,
    "pencil sketch": pencil_sketch,
    "pixel art": pixel_art,
    "watercolor": watercolor,
    "neon": neon,
    "mosaic": mosaic,
}


def apply(style: str, image: Array, rng: np.random.Generator) -> Array:
    """`image` (height, width, 3) uint8 in the given style, same shape and type; without a filter, the image itself."""
    if style not in FILTERS:
        return image
    styled = FILTERS[style](image.astype(np.float64) / 255, rng)
    return (np.clip(styled, 0, 1) * 255).round().astype(np.uint8)
