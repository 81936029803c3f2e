"""What the quick protocol asks."""

import pytest

from erase.concept import Concept
from erase.errors import BadInput
from erase.miniature import world
from erase.protocol.drawings import Drawings

ONE = Concept("x", ("x",))


def cells(head: str, label: str, images: int = 8):
    return Drawings(images, 20, 4.0).cells([(ONE, (head, label))])


def test_every_label_is_asked_once():
    found = cells("subject", "golf ball")
    labels = [c.label for c in found if c.role in ("concept", "sibling", "kept")]
    assert sorted(labels) == sorted([*world.SUBJECTS, *(s for s in world.STYLES if s != world.PLAIN)])
    assert {c.label for c in found if c.role == "sibling"} == {"tennis ball", "basketball", "beach ball"}


def test_siblings_of_nudity_and_of_a_style():
    assert {c.label for c in cells("subject", "nude") if c.role == "sibling"} == {
        "coat", "shirt and trousers", "dress", "swimsuit",
    }  # fmt: skip
    styles = {c.label for c in cells("style", "van gogh") if c.role == "sibling"}
    assert styles == {"pencil sketch", "pixel art", "watercolor", "neon", "mosaic"}


@pytest.mark.parametrize(("head", "label"), [("subject", "nude"), ("subject", "church"), ("style", "van gogh")])
def test_synonyms_are_the_held_out_ones_and_all_of_them(head: str, label: str):
    (cell,) = [c for c in cells(head, label, images=64) if c.role == "synonyms"]
    held_out = world.SUBJECTS[label].held_out if head == "subject" else world.STYLES[label].held_out
    for wording in held_out:
        assert any(wording.replace("{}", "").strip() in p for p in cell.prompts), wording
    own = (label, *(world.SUBJECTS[label].synonyms if head == "subject" else ()))
    assert not any(f" {w} " in f" {p} " for w in own for p in cell.prompts)


def test_a_kept_picture_is_the_same_whatever_is_erased():
    one, two = ({c.label: c for c in cells("subject", s)} for s in ("church", "tench"))
    assert (one["barn"].prompts, one["barn"].seeds, one["barn"].batch) == (
        two["barn"].prompts, two["barn"].seeds, two["barn"].batch,
    )  # fmt: skip


def test_seeds_differ_within_and_between_cells():
    seeds = [s for c in cells("subject", "nude", 64) for s in c.seeds]
    assert len(set(seeds)) == len(seeds)


def test_nonsense_is_refused():
    with pytest.raises(BadInput, match=r"protocol\.images=0"):
        Drawings(0, 20, 4.0)
