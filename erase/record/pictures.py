"""This file is grids: pictures side by side."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image

from erase.files import shortened

if TYPE_CHECKING:
    from torch import Tensor

GAP = 2
"""White pixels between pictures."""

ROW = 8
"""Pictures in a row of what an attack ended with."""


def grid(rows: "Sequence[Tensor]", gap: int = GAP, scale: int = 1) -> Image.Image:
    """Rows of uint8 pictures, each (count, 3, height, width), as one image on white; `scale` enlarges pixels."""
    height, width = rows[0].shape[-2:]
    columns = max(len(r) for r in rows)
    page = Image.new("RGB", (columns * (width + gap) - gap, len(rows) * (height + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            page.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (x * (width + gap), y * (height + gap)))
    return page.resize((page.width * scale, page.height * scale), Image.Resampling.NEAREST) if scale > 1 else page


def before_after(before: "Tensor", after: "Tensor", *others: "Tensor") -> Image.Image:
    """Rows of the unedited model's pictures, the edited model's, and `others`': same prompts and seeds."""
    return grid([before, after, *others])


def file_name(name: str) -> str:
    """The file of the grid `name`, such as "barn (sibling)": a label may hold what no file can be called by."""
    return shortened(re.sub(r"[%/\0]", lambda found: quote(found[0], ""), name.replace(" ", "_"))) + ".png"
