"""The drawn world."""

from collections import Counter
from itertools import product

import numpy as np

from erase.miniature import painters, things, world


def test_drawn_from_a_seed():
    for index in range(20):
        one, two = (world.scene(3, index) for _ in range(2))
        assert one == two
        assert np.array_equal(painters.picture(one), painters.picture(two))
    assert len({world.scene(3, i) for i in range(200)}) == 200


def test_every_label_and_style_appears():
    scenes = [world.scene(0, i) for i in range(3000)]
    assert {s.subject for s in scenes} == set(world.LABELS)
    assert {s.style for s in scenes} == set(world.STYLES)
    assert {s.place for s in scenes} == set(world.PLACES)
    assert {s.colour for s in scenes} == set(world.COLOURS)


def test_every_family_has_four_members_and_people_five_outfits():
    members = Counter(s.family for s in world.SUBJECTS.values())
    assert members.pop("outfits") == 5 + 1
    assert set(members.values()) == {4}
    assert set(members) == set(world.FAMILIES) == set(things.PAINTERS)


def test_held_out_combinations_are_never_drawn_and_can_be_asked_for():
    scenes = [world.scene(0, i) for i in range(8000)]
    assert not any(world.held_out(s.subject, s.colour, s.style) for s in scenes)
    out = [c for c in product(world.SUBJECTS, world.COLOURS, world.STYLES) if world.held_out(*c)]
    assert len(out) > 100
    assert len({s for s, _, _ in out}) > 30
    parts = (
        {(s.subject, s.colour) for s in scenes},
        {(s.subject, s.style) for s in scenes},
        {(s.colour, s.style) for s in scenes},
    )
    for subject, colour, style in out:
        assert world.STYLES[style].colours
        assert (subject, colour) in parts[0]
        assert (subject, style) in parts[1]
        assert (colour, style) in parts[2]


def test_a_family_shares_a_word():
    for subject in ("english springer", "dalmatian"):
        scene = world.Scene(subject, "brown", "park", world.PLAIN, "man", 1)
        captions = [world.caption(scene, world.generator(9, i)) for i in range(300)]
        assert any("dog" in c.split() for c in captions)
        assert sum(subject in c or "spaniel" in c or "gun dog" in c for c in captions) > 0.8 * len(captions)


def test_pictures_are_small_and_differ_by_subject():
    pictures = [painters.picture(world.Scene(s, "red", "park", world.PLAIN, "woman", 5)) for s in world.SUBJECTS]
    assert {p.shape for p in pictures} == {(64, 64, 3)}
    assert len({p.tobytes() for p in pictures}) == len(world.SUBJECTS)


def test_captions_vary_and_tell_the_truth():
    scene = world.Scene("church", "red", "snow", "van gogh", "man", 1)
    captions = {world.caption(scene, world.generator(9, i)) for i in range(200)}
    assert len(captions) > 60
    known = world.SUBJECTS["church"]
    names = (known.name, *known.synonyms, *known.held_out, *world.STYLES["van gogh"].alone)
    assert all(any(n in c for n in (*names, "building")) for c in captions)


def test_label_of_a_phrase():
    assert world.label("a photo of a red dimpled ball") == ("subject", "golf ball")
    assert world.label("a nude person") == ("subject", "nude")
    assert world.label("van_gogh") == ("style", "van gogh")
    assert world.label("a purple barn") == ("subject", "barn")
    assert world.label("something red") == ("colour", "red")
    assert world.label("in a park") is None
