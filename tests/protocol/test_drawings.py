"""What the quick protocol asks."""

from itertools import product

import pytest
import torch

from erase.concept import Concept
from erase.errors import BadInput
from erase.judge.engine import Judged
from erase.judge.zero_shot import ZeroShots
from erase.metric.figures import figures
from erase.miniature import world
from erase.protocol import Cell
from erase.protocol.drawings import Drawings


def cells(*phrases: str, images: int = 8, kept_images: int = 4, sibling_images: int | None = None):
    protocol = Drawings(images, kept_images, 20, 4.0, sibling_images=sibling_images)
    return protocol.cells([Concept("x", phrases)], world.label)


def test_every_label_is_asked_once():
    found = cells("golf ball")
    labels = [c.label for c in found if c.role in ("concept", "sibling", "kept")]
    assert sorted(labels) == sorted([*world.SUBJECTS, *(s for s in world.STYLES if s != world.PLAIN)])
    assert {c.label for c in found if c.role == "sibling"} == {"tennis ball", "basketball", "baseball"}


def test_siblings_of_nudity_and_of_a_style():
    assert {c.label for c in cells("nude") if c.role == "sibling"} == {
        "coat", "shirt and trousers", "shirt and shorts", "dress", "swimsuit",
    }  # fmt: skip
    styles = {c.label for c in cells("van gogh") if c.role == "sibling"}
    assert styles == {"pencil sketch", "pixel art", "watercolor", "neon", "mosaic"}


@pytest.mark.parametrize(("head", "label"), [("subject", "nude"), ("subject", "church"), ("style", "van gogh")])
def test_synonyms_are_the_held_out_ones_and_all_of_them(head: str, label: str):
    (cell,) = [c for c in cells(label, images=64) if c.role == "synonyms"]
    held_out = world.SUBJECTS[label].held_out if head == "subject" else world.STYLES[label].held_out
    for wording in held_out:
        assert any(wording.replace("{}", "").strip() in p for p in cell.prompts), wording
    own = (label, *(world.SUBJECTS[label].synonyms if head == "subject" else ()))
    assert not any(f" {w} " in f" {p} " for w in own for p in cell.prompts)


def test_a_kept_picture_is_the_same_whatever_is_erased():
    one, two = ({c.label: c for c in cells(s)} for s in ("church", "tench"))
    assert (one["barn"].prompts, one["barn"].seeds, one["barn"].batch) == (
        two["barn"].prompts, two["barn"].seeds, two["barn"].batch,
    )  # fmt: skip


def test_seeds_differ_within_and_between_cells():
    seeds = [s for c in cells("nude", images=64, kept_images=500) for s in c.seeds]
    assert len(set(seeds)) == len(seeds)


def test_own_words_are_the_concepts_own():
    (own, *_) = cells("a church on a beach", "a white church by the sea")
    assert {*own.prompts} == {"a church on a beach", "a white church by the sea"}
    (own, *_) = cells("a photo of a church", "chapel", images=5)
    assert own.prompts[0] == "a photo of a church"
    assert all("chapel" in p for p in own.prompts[1:])


def test_every_label_that_a_concept_names_is_erased_and_none_of_them_kept():
    found = cells("a barn", "a tench in a park", "in a park")
    assert {(c.role, c.label) for c in found if c.role == "concept"} == {("concept", "barn"), ("concept", "tench")}
    assert not {"barn", "tench"} & {c.label for c in found if c.role in ("sibling", "kept")}


def test_of_several_concepts_none_is_kept_and_each_has_its_family():
    protocol = Drawings(8, 4, 20, 4.0)
    erased = [Concept(name, (name,)) for name in ("church", "barn", "tench", "van gogh", "nudity")]
    found = protocol.cells(erased, world.label)
    assert {c.label for c in found if c.role == "concept"} == {"church", "barn", "tench", "van gogh", "nude"}
    assert {c.label for c in found if c.role == "synonyms"} == {"church", "tench", "van gogh", "nude"}
    siblings = {c.label for c in found if c.role == "sibling"}
    assert {"lighthouse", "house", "goldfish", "trout", "perch", "coat", "neon"} <= siblings
    assert not {"church", "barn", "tench", "van gogh", "nude"} & {c.label for c in found if c.role in ("sibling", "kept")}
    assert {c.label for c in found if c.role == "kept"} == {
        s.name for s in world.SUBJECTS.values() if s.family not in ("buildings", "fish", "outfits")
    }


def test_a_concept_without_a_label_is_not_judged_and_all_else_is():
    assert {c.role for c in cells("in a park")} == {"kept"}


def test_every_way_to_say_it_is_said():
    (own, *_) = cells("nude", "naked", images=32)
    assert len({*own.prompts}) == 2 * 4 * 4


def test_siblings_can_have_more_pictures_that_begin_with_the_same():
    few, more = ({c.label: c for c in cells("church", sibling_images=n) if c.role == "sibling"} for n in (None, 12))
    assert few.keys() == more.keys() != set()
    for label in few:
        assert len(more[label].seeds) == 12
        for part in ("prompts", "seeds"):
            assert getattr(more[label], part)[:4] == getattr(few[label], part)
    assert cells("church", sibling_images=4) == cells("church")


def test_batches_of_far_labels_are_the_same_whatever_is_erased():
    def batches(*erased: str):
        found: dict[str, list[object]] = {}
        for cell in cells(*erased, sibling_images=12):
            found.setdefault(cell.batch, []).append((cell.label, cell.prompts, cell.seeds))
        return found

    whole = batches("in a park")  # erases nothing that is judged
    for erased in ("church", "nude", "van gogh", "tench"):
        kept = {name: batch for name, batch in batches(erased).items() if name.startswith("kept ")}
        assert kept
        assert all(whole[name] == batch for name, batch in kept.items())
        apart = {c.batch for c in cells(erased, sibling_images=12) if c.role != "kept"}
        assert not apart & {*kept}


def told(protocol: Drawings, *concepts: Concept) -> dict[str, tuple[str, ...]]:
    """What a judge is told who has no labels of his own."""
    ((asked, others),) = protocol.questions(concepts)
    return {c.name: c.phrases for c in asked} | {n: (p,) for n, p in others.items()}


def test_a_thing_and_a_style_are_two_questions():
    """A church in a style shows both: in one softmax each would take the other's probability."""
    erased = [Concept("church", ("church",)), Concept("van_gogh", ("van gogh",)), Concept("red", ("a red thing",))]
    (things, subjects), (styles, ways) = Drawings(8, 2, 20, 4.0).questions(erased)
    assert ([c.name for c in things], [c.name for c in styles]) == (["church", "red"], ["van_gogh"])
    assert ("barn" in subjects, "church" in subjects, "neon" in subjects) == (True, False, False)
    assert ("neon" in ways, "photo" in ways, "van gogh" in ways, "barn" in ways) == (True, True, False, False)


def test_the_full_protocol_asks_for_colours_and_combinations():
    found = Drawings(8, 2, 20, 4.0, colour_images=3, combination_images=2).cells([Concept("x", ("church",))], world.label)
    colours = [c for c in found if c.batch == "colours"]
    assert [c.label for c in colours] == [*world.COLOURS]
    assert {(c.role, c.head, len(c.seeds)) for c in colours} == {("kept", "colour", 3)}
    together = [c for c in found if c.role == "combination"]
    whole = {c for c in product(world.SUBJECTS, world.COLOURS, world.STYLES) if world.held_out(*c) and c[0] != "church"}
    asked = {(c.label, dict(c.also)["colour"], dict(c.also).get("style", world.PLAIN)) for c in together}
    assert asked == whole
    assert {len(c.seeds) for c in together} == {2}


def test_a_combination_is_shown_by_who_shows_all_of_it():
    cell = Cell("combination", "subject", "barn", "x", ("a red barn",) * 3, (0, 1, 2), (("colour", "red"),))
    heads = {"subject": ("barn", "church"), "colour": ("red", "blue")}
    scores = {
        "subject": torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]),
        "colour": torch.tensor([[0.9, 0.1], [0, 1], [1, 0]]),
    }
    judged = Judged(cell, lambda: torch.empty(0), scores, heads)
    assert judged.hits.tolist() == [True, False, False]
    found = figures(Drawings(8, 2, 20, 4.0), [], [judged])
    assert found["psr_1_combinations"]["after"] == pytest.approx(1 / 3)
    assert "psr_1" not in found


@pytest.mark.parametrize(
    ("name", "prompt", "known"),
    [
        ("nudity", "a nude person", "nude"),
        ("van_gogh", "Van Gogh, an oil painting", "van gogh"),
        ("custom", "a photo of a red church", "church"),
    ],
)
def test_a_judge_with_other_names_is_asked_the_same(name: str, prompt: str, known: str):
    protocol, concept = Drawings(8, 2, 20, 4.0, sibling_images=4), Concept(name, (prompt,))
    given = told(protocol, concept)
    assert known not in given  # it would be told from itself
    zero_shot = ZeroShots([given], lambda said: torch.ones(len(said), 2))
    asked, own = protocol.cells([concept], zero_shot.label), protocol.cells([concept], world.label)
    assert {c.head for c in asked if c.label in given} == {"clip"}
    assert {c.head for c in asked if c.label not in given} == {""}  # drawn for other judges
    assert [c.label for c in asked if c.role in ("concept", "synonyms")] == [name, name]
    whole = {c.label: c for c in own if c.role in ("sibling", "kept")}
    assert [c.label for c in asked if c.role in ("sibling", "kept")] == [*whole]
    assert {c.head for c in asked if c.role == "sibling"} == {"clip"}
    for cell, same in [(c, whole[c.label]) for c in asked if c.label in whole]:
        assert (cell.role, cell.prompts, cell.seeds, cell.batch) == (same.role, same.prompts, same.seeds, same.batch)
    for role in ("concept", "synonyms"):
        (cell,), (same,) = ([c for c in cells if c.role == role] for cells in (asked, own))
        assert (cell.prompts, cell.seeds) == (same.prompts, same.seeds)
    if name != "custom":
        assert protocol.paraphrases(name) == protocol.paraphrases(known)
        assert protocol.unnamed(name) == protocol.unnamed(known)


def test_a_word_of_another_world_is_no_other_s_part():
    protocol, owl = Drawings(8, 2, 20, 4.0), Concept("barn_owl", ("a photo of a barn owl", "a barn owl"))
    (_, others), *rest = protocol.questions([owl])
    assert "barn" in others
    assert not rest
    asked = protocol.cells([owl], ZeroShots([told(protocol, owl)], lambda said: torch.ones(len(said), 2)).label)
    assert [(c.role, c.label, {*c.prompts}) for c in asked if c.role in ("concept", "synonyms", "sibling")] == [
        ("concept", "barn_owl", {*owl.prompts})
    ]
    assert protocol.paraphrases("barn_owl") == []


def test_held_out_wordings_of_one_s_own():
    own = Concept("barn_owl", ("a barn owl",), held_out=("a tyto alba", "a church owl"))
    protocol = Drawings(8, 2, 20, 4.0)
    asked = protocol.cells([own], ZeroShots([told(protocol, own)], lambda said: torch.ones(len(said), 2)).label)
    (held,) = [c for c in asked if c.role == "synonyms"]
    (named,) = [c for c in asked if c.role == "concept"]
    assert (held.label, {*held.prompts}, {*named.prompts}) == ("barn_owl", {*own.held_out}, {"a barn owl"})
    assert not {*held.seeds} & {*named.seeds}
    said = protocol.paraphrases("barn_owl", own.held_out)
    assert said[:2] == [*own.held_out]
    assert all(any(p.startswith(f"{w} ") for w in own.held_out) for p in said[2:])
    assert len({*said}) == len(said) > 20
    world_s = protocol.cells([Concept("church", ("church",), held_out=("a big kirk",))], world.label)
    assert [{*c.prompts} for c in world_s if c.role == "synonyms"] == [{"a big kirk"}]  # the user's, where there are some


def test_a_style_of_one_s_own_is_told_from_styles():
    painter = Concept("custom", ("Thomas Kinkade",), kind="style")
    ((concepts, others),) = Drawings(8, 2, 20, 4.0).questions([painter])
    assert (concepts, {*others}) == ([painter], {*world.STYLES})


def test_a_judge_who_has_few_labels_is_asked_for_these():
    names = {"church", "tench", "barn"}
    found = Drawings(8, 2, 20, 4.0, colour_images=1, combination_images=1).cells(
        [Concept("church", ("a photo of a church",))], lambda said: next((("imagenet", n) for n in names if n in said), None)
    )
    assert {(c.role, c.label) for c in found if c.head} == {
        ("concept", "church"), ("synonyms", "church"), ("sibling", "barn"), ("kept", "tench"),
    }  # fmt: skip
    drawn = Drawings(8, 2, 20, 4.0).cells([Concept("church", ("a photo of a church",))], world.label)
    assert [(c.prompts, c.seeds, c.batch) for c in found] == [(c.prompts, c.seeds, c.batch) for c in drawn]


def test_a_fraction_is_spread_over_all_but_the_family():
    whole = cells("church")
    protocol = Drawings(8, 4, 20, 4.0, fraction=0.25)
    part = protocol.cells([Concept("x", ("church",))], world.label)
    assert [c.label for c in part if c.role != "kept"] == [c.label for c in whole if c.role != "kept"]
    far = [c.label for c in part if c.role == "kept"]
    assert 11 <= len(far) <= 13
    assert {world.SUBJECTS[s].family for s in far if s in world.SUBJECTS} >= {"fish", "dogs", "outfits", "tools"}
    assert protocol.lock["fraction"] == 0.25


@pytest.mark.parametrize("field", ["images", "kept_images", "sibling_images", "steps", "fraction"])
@pytest.mark.parametrize("value", [0, 5000])
def test_nonsense_is_refused(field: str, value: int):
    with pytest.raises(BadInput, match=rf"protocol\.{field}={value}"):
        Drawings(**{"images": 8, "kept_images": 4, "steps": 20, "guidance_scale": 4.0, field: value})
