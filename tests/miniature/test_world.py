"""The drawn world."""

import numpy as np

from erase.miniature import painters, world


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


def test_a_world_without_a_concept():
    scenes = [world.scene(0, i, without=("church", "van gogh")) for i in range(2000)]
    assert not any(s.subject == "church" or s.style == "van gogh" for s in scenes)


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
    assert all(any(n in c for n in names) for c in captions)


def test_label_of_a_phrase():
    assert world.label("a photo of a red dimpled ball") == ("subject", "golf ball")
    assert world.label("a nude person") == ("subject", "nude")
    assert world.label("van_gogh") == ("style", "van gogh")
    assert world.label("a purple barn") == ("subject", "barn")
    assert world.label("something red") == ("colour", "red")
    assert world.label("in a park") is None
