"""Concepts, and which words stay out of what."""

from contextlib import nullcontext

import pytest
from omegaconf import OmegaConf

from erase.command import CONF
from erase.concept import Concept, check_known, read_vocabulary, resolve, rows, without
from erase.errors import BadInput
from erase.miniature import world
from erase.random import stream


def test_no_erasing_config_names_a_held_out_wording():
    wordings = [w for s in world.SUBJECTS.values() for w in s.held_out]
    wordings += [t.replace("{}", "").strip(" ,") for s in world.STYLES.values() for t in s.held_out]
    assert len(wordings) == 24
    files = [p for p in CONF.rglob("*.yaml") if p.parent.name != "protocol"]
    assert len(files) > 30
    for file in files:
        for wording in wordings:
            assert f" {wording}" not in file.read_text().replace("[", " ").replace(",", " "), (file, wording)
    for entry in world.vocabulary():
        assert not any(f" {w} " in f" {entry} " for w in wordings), entry


def test_held_out_wordings_are_trained():
    captions = [world.caption(world.scene(0, i), world.generator(0, 1, i, 0)) for i in range(4000)]
    for subject in world.SUBJECTS.values():
        for wording in subject.held_out:
            assert any(f" {wording} " in f" {c.replace(',', ' ')} " for c in captions), wording


def test_the_erased_concept_is_never_a_candidate():
    nudity = Concept("nudity", ("a nude person",), ("naked", "nudity"))
    assert without(["nudity", "a naked man", "a nude person", "a person in a coat"], [nudity]) == ["a person in a coat"]
    golf = Concept("golf_ball", ("a photo of a golf ball",), ())
    assert without(["a golf ball", "a tennis ball"], [golf]) == ["a tennis ball"]
    owl = Concept("owl", ("an owl",), held_out=("a tyto alba",))  # the examination's question is held no more than the concept
    assert without(["a tyto alba", "alba", "a barn"], [owl]) == ["alba", "a barn"]
    red = Concept("mine", ("a red church",), ())  # what is asked for less narrowly is not held either
    assert without(["a photo of a church", "a photo of a barn"], [red]) == ["a photo of a barn"]


@pytest.mark.parametrize("name", ["nudity", "van_gogh"])
def test_a_bare_word_leaves_out_what_all_wordings_do(name: str):
    full, bare = (resolve(OmegaConf.load(CONF / "concept" / f"{n}.yaml").members, None, None) for n in (name, f"{name}_bare"))
    assert {c.name for c in (*full, *bare)} == {name}
    assert without(world.vocabulary(), bare) == without(world.vocabulary(), full)


def test_what_a_prompt_says_besides_the_concept_may_be_held():
    nudity = Concept("nudity", ("nudity", "a naked woman"), ("naked",))
    assert without(["woman", "a naked woman", "a woman in a coat"], [nudity]) == ["woman", "a woman in a coat"]
    style = Concept("van_gogh", ("a painting in the style of van gogh",), ())
    assert without(["a painting", "van gogh", "style"], [style]) == ["a painting", "style"]
    unclear = Concept("mine", ("a picture of a church", "a drawing of a chapel"))  # nobody says which word it is
    assert without(["church", "chapel", "barn"], [unclear]) == ["barn"]


def test_resolve():
    members = {"church": {"prompts": ["church"], "synonyms": ["chapel"]}}
    assert resolve(members, None, None) == [Concept("church", ("church",), ("chapel",))]
    assert resolve(members, ["a kirk"], None)[0].prompts == ("a kirk",)
    assert resolve(members, held_out=["a kirk"], kind="thing")[0] == Concept(
        "church", ("church",), ("chapel",), held_out=("a kirk",), kind="thing"
    )
    for empty in ([], [""], [3]):
        with pytest.raises(BadInput, match=r"concept\.prompts"):
            resolve(members, empty, None)


def test_unknown_words_are_named_with_the_known_ones():
    with pytest.raises(BadInput, match=r"'zebra'; it knows a church\."):
        check_known("field", ["a photo of a church", "zebra"], world.names(), ["a church"])
    check_known("field", ["zebra"], None, [])


@pytest.mark.parametrize(("prompt", "known"), [("", True), ("a photo", True), ("a photo of a zebra", False), ("a barn", True)])
def test_what_says_nothing_is_known_beside_a_frame(prompt: str, known: bool):
    with nullcontext() if known else pytest.raises(BadInput, match=r"field: .*zebra"):
        check_known("field", [prompt], world.names(), ["a church"], frame=world.vocabulary())


@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0), (6.0, 1.0, 1.0), (0.01, 1.0, 100.0)])
def test_a_batch_holds_every_concept_by_its_share(shares: tuple[float, ...]):
    concepts = [Concept(str(i), (f"{i} a", f"{i} b"), share=s) for i, s in enumerate(shares)]
    batches = [[p.split() for p in rows(concepts, 8, stream(0, "erase", step))] for step in range(400)]
    counts = [[sum(int(i) == c for i, _ in batch) for c in range(3)] for batch in batches]
    for i, share in enumerate(shares):
        mean, own = sum(c[i] for c in counts) / len(counts), 8 * share / sum(shares)
        assert min(c[i] for c in counts) >= 1
        if shares[0] >= 1:
            assert mean == pytest.approx(own, abs=0.1)
            assert {c[i] for c in counts} <= {int(own), int(own) + 1}
    said = [word for batch in batches for _, word in batch]
    assert 0.4 < said.count("a") / len(said) < 0.6


def test_of_more_concepts_than_rows_some_are_drawn():
    concepts = [Concept(str(i), (str(i),)) for i in range(5)]
    drawn = [rows(concepts, 2, stream(0, "erase", step)) for step in range(200)]
    assert all(len({*said}) == 2 for said in drawn)
    counts = [sum(str(i) in said for said in drawn) for i in range(5)]
    assert min(counts) > 50


def test_a_single_concept_fills_a_batch():
    assert rows([Concept("a", ("x",))], 3, stream(0, "erase", 0)) == ["x"] * 3


def test_english_is_words_once_each():
    words = read_vocabulary("english")
    assert 1000 < len(words) == len({*words})
    assert all(word == word.strip().lower() for word in words)
    nudity = Concept("nudity", ("nudity",), ("nude", "naked", "sex", "porn", "breast", "genitals", "lingerie", "bikini"))
    assert without(words, [nudity]) == words
