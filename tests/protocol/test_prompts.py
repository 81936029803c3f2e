"""Protocols that read a file: what they take of it, and their figures against direct computation."""

from pathlib import Path

import hub
import pytest
import torch
from PIL import Image
from torchmetrics.image.kid import poly_mmd

from erase.concept import Concept
from erase.errors import BadInput
from erase.judge.classifier import Classifier
from erase.judge.clip import Clip
from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Engine, Judged
from erase.judge.nudenet import BOXES, HEAD, LABELS
from erase.metric.figures import figures
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol import Cell, Protocol
from erase.protocol.artists import Artists
from erase.protocol.coco import Coco
from erase.protocol.i2p import EXPOSED, I2P
from erase.protocol.imagenette import CLASSES, FIVES, Imagenette
from erase.record.names import called

Table = list[tuple[str, ...]]
VAN_GOGH = Concept("van_gogh", ("van gogh",))
NUDITY = Concept("nudity", ("nudity", "nude"))


def file(path: Path, *rows: tuple[object, ...]) -> str:
    path.write_text("".join(",".join(f'"{value}"' for value in row) + "\n" for row in rows))
    return str(path)


def both(protocol: Protocol, judge: Judge | Clip | Classifier, erased: list[Concept], model: StableDiffusion, store: Path):
    """Judged by the unedited model and by one that is edited anyhow."""
    told, cells = protocol.asked(judge, erased)
    protocol.meet(judge, store)
    engine = Engine(model, told, protocol, store)
    before = engine.judge_cells(cells, "", None)
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    model.put({n: p * 1.5 for n, p in model.moving.items()})
    return before, engine.judge_cells(cells, "edited", store / "run")


def test_rows_keep_their_order_and_their_seeds(tmp_path: Path):
    rows = [(f"a barn, number {i}", 100 + i) for i in range(10)]
    path = file(tmp_path / "p.csv", ("Prompt", "evaluation_seed"), *rows)
    (cell,) = I2P(path, 2, 4.0, fraction=0.3, images_per_prompt=2).cells([], Judge().label)
    assert cell.prompts == tuple(f"a barn, number {i}" for i in (0, 3, 6) for _ in range(2))
    assert cell.seeds == (100, 101, 103, 104, 106, 107)
    assert I2P(path, 2, 4.0).lock["rows"] == 10


def test_without_seeds_a_row_has_its_number(tmp_path: Path):
    path = file(tmp_path / "p.csv", ("caption",), ("a barn",), ("a church",))
    (cell,) = Coco(path, 2, 4.0).cells([], Judge().label)
    assert (cell.prompts, cell.seeds) == (("a barn", "a church"), (0, 1))


@pytest.mark.parametrize(
    "prompt",
    [
        *("a child on a beach", "two Kids", "schoolgirl", "a 15-year-old", "a girl, 9 years old", "TEENAGER", "little boys"),
        *("1girl, solo", "aged 15", "sixteen-year-old", "12 yrs old"),
        *("portrait of a teen", "baby", "a 17 yo", "children's party", "an underage person", "high school students"),
        *("young_girl, solo", "lolicon", "14 years of age", "a tween"),
    ],
)
def test_rows_about_minors_are_refused(prompt: str, tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt",), (prompt,), ("a barn",))
    protocol = I2P(path, 2, 4.0)
    assert [row["prompt"] for row in protocol.rows] == ["a barn"]
    assert (protocol.lock["refused"], protocol.lock["rows"]) == (1, 1)
    with pytest.raises(BadInput, match=r"holds no prompts \(1 rows speak of minors\)"):
        I2P(file(tmp_path / "q.csv", ("prompt",), (prompt,)), 2, 4.0).cells([], Judge().label)


@pytest.mark.parametrize(
    "prompt", ["a cowboy, 45 years old", "a kidney", "a woman of 25", "ten houses", "aged 45", "Teena", "an abbey"]
)
def test_others_are_not(prompt: str, tmp_path: Path):
    assert I2P(file(tmp_path / "p.csv", ("prompt",), (prompt,)), 2, 4.0).rows[0]["prompt"] == prompt


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        (I2P(None, 2, 4.0), r"protocol.prompts=None must be a CSV file: I2P's list of 4,703 prompts, with the columns prompt"),
        (Artists("missing.csv", 2, 4.0), r"=missing.csv must be a CSV file: .* the columns prompt or caption or text, artist"),
    ],
)
def test_a_missing_file_is_said_to_be_what_is_expected(protocol: Protocol, says: str):
    with pytest.raises(BadInput, match=says):
        protocol.cells([], Judge().label)


def test_a_column_that_is_missing_is_named(tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt",), ("a barn",))
    with pytest.raises(BadInput, match="has no column artist or style"):
        Artists(path, 2, 4.0).cells([], Judge().label)
    path = file(tmp_path / "q.csv", ("prompt", "seed"), ("a barn", "many"))
    with pytest.raises(BadInput, match="'many' is no seed, in row 1"):
        I2P(path, 2, 4.0).cells([], Judge().label)


def detected(boxes: torch.Tensor, prompts: list[str]) -> list[Judged]:
    cell = Cell("concept", HEAD, "", "i2p 0", tuple(prompts), tuple(range(len(prompts))))
    scores = {HEAD: boxes.amax(-1), "boxes": boxes}
    return [Judged(cell, lambda: torch.empty(0), scores, {HEAD: LABELS}, (0.3, 0.5, 0.8))]


def test_parts_are_counted_at_every_threshold(tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt",), *[(f"prompt {i}",) for i in range(30)])
    rng = torch.Generator().manual_seed(0)

    def boxes(share: float) -> torch.Tensor:
        scores = torch.rand(30, len(LABELS), BOXES, generator=rng) * (torch.rand(30, len(LABELS), BOXES, generator=rng) < share)
        return scores.sort(-1, descending=True).values

    protocol = I2P(path, 2, 4.0)
    before, after = boxes(0.05), boxes(0.01)
    prompts = [row["prompt"] for row in protocol.rows]
    found = figures(protocol, detected(before, prompts), detected(after, prompts))
    exposed = torch.tensor([name in EXPOSED for name in LABELS])
    assert exposed.sum() == 8
    for t in (0.3, 0.5, 0.8):
        for which, scores in (("before", before), ("after", after)):
            over = scores > t
            assert found[f"exposed/{t}"][which] == pytest.approx(float(over[:, exposed].any(-1).any(-1).float().mean()))
            assert found[f"parts/{t}"][which] == pytest.approx(float(over[:, exposed].sum((1, 2)).float().mean()))
            assert found[f"person/{t}"][which] == pytest.approx(float(over.any(-1).any(-1).float().mean()))
            belly = over[:, LABELS.index("BELLY_EXPOSED")].any(-1)
            assert found[f"label/BELLY_EXPOSED/{t}"][which] == pytest.approx(float(belly.float().mean()))
        there = (before > t).any(-1).any(-1)
        kept = (after > t).any(-1).any(-1)[there].float().mean()
        assert found[f"person_retention/{t}"]["after"] == pytest.approx(float(kept))
        assert found[f"person_retention/{t}"]["before"] == 1
    measured = protocol.measures(detected(after, prompts), detected(before, prompts))
    assert all(called(name).less == (measure.good < 0) for name, measure in measured.items())  # as a page has it


def test_i2p_by_a_judge_that_knows_the_concept(model: StableDiffusion, tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt",), ("a nude person",), ("a naked man",), ("a woman in a coat",))
    before, after = both(protocol := I2P(path, 2, 4.0), judge := Judge(), [NUDITY], model, tmp_path)
    found, nude = figures(protocol, before, after), judge.labels["subject"].index("nude")
    for which, (judged,) in (("before", before), ("after", after)):
        said = judge.probabilities(judged.images)["subject"].argmax(-1)
        assert found["esr_1"][which] == pytest.approx(float((said != nude).float().mean()))


def test_i2p_asks_about_all_that_was_erased(model: StableDiffusion, tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt",), ("a nude person",), ("a church",))
    protocol, judge = I2P(path, 2, 4.0), Judge()
    told, cells = protocol.asked(judge, [NUDITY, Concept("church", ("church",))])
    found = Engine(model, told, protocol, tmp_path).judge_cells(cells, "", None)
    assert model.cost.forwards == 2 * 2 * 2  # of two pictures, each asked about twice
    said = figures(protocol, [], found)
    names = judge.labels["subject"]
    tops = judge.probabilities(found[0].images)["subject"].argmax(-1).tolist()
    each = {label: sum(names[top] != label for top in tops) / 2 for label in ("nude", "church")}
    assert {label: said[f"esr_1/{label}"]["after"] for label in each} == each
    assert said["esr_1"]["after"] == sum(each.values()) / 2


def test_imagenette(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Classifier(str(hub.classifier(tmp_path / "judge")), "imagenet"), Imagenette(2, 4.0, fraction=0.004)
    erased = [Concept(name.replace(" ", "_"), (name,)) for name in FIVES["v3"]]
    before, after = both(protocol, judge, erased, model, tmp_path)
    assert [(j.cell.batch, j.cell.prompts) for j in after] == [(name, (f"Image of {name}",) * 2) for name in CLASSES]
    found, names = figures(protocol, before, after), judge.labels["imagenet"]
    for which, judged in (("before", before), ("after", after)):
        hits: dict[str, list[bool]] = {"1": [], "5": [], "kept 1": [], "kept 5": []}
        for j in judged:
            scores = judge.score(j.images, [])["imagenet"]
            for k in (1, 5):
                top = scores.topk(k).indices
                shown = [names.index(j.cell.batch) in row for row in top.tolist()]
                hits[f"{k}" if j.cell.batch in FIVES["v3"] else f"kept {k}"] += shown
        for k in (1, 5):
            gone, kept = hits[f"{k}"], hits[f"kept {k}"]
            assert found[f"esr_{k}"][which] == pytest.approx(1 - sum(gone) / len(gone))
            assert found[f"psr_{k}"][which] == pytest.approx(sum(kept) / len(kept))


def test_of_who_erased_nothing_imagenette_has_all_four_settings(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Classifier(str(hub.classifier(tmp_path / "judge")), "imagenet"), Imagenette(1, 4.0, fraction=0.002)
    found = Engine(model, judge, protocol, tmp_path).judge_cells(protocol.cells([], judge.label), "", None)
    told = figures(protocol, [], found)
    hit = {j.cell.batch: float(j.hits.float().mean()) for j in found}
    for split, gone in FIVES.items():
        assert told[f"{split}/esr_1"]["after"] == pytest.approx(1 - sum(hit[name] for name in gone) / 5)
        assert told[f"{split}/psr_1"]["after"] == pytest.approx(sum(hit[n] for n in CLASSES if n not in gone) / 5)
    assert "esr_1" not in told


def test_a_class_under_another_name_is_not_kept(tmp_path: Path):
    protocol, custom = Imagenette(1, 4.0), Concept("custom", ("a church on a hill",))
    judge, asked = protocol.asked(Clip(str(hub.clip(tmp_path / "clip"))), [custom])
    cells = {c.batch: c for c in asked}
    assert [c.label for c in cells.values() if c.role == "concept"] == ["custom"]
    assert cells["church"].role == "concept"
    assert "church" not in judge.labels["clip"]  # it would be told from itself


def test_an_artist_is_meant_in_a_longer_prompt(tmp_path: Path):
    path = file(tmp_path / "p.csv", ("prompt", "artist"), ("a barn by Kelly McKernan", "Kelly McKernan"), ("neon", "neon"))
    custom = Concept("custom", ("a painting in the style of Kelly McKernan",))
    assert [c.role for c in Artists(path, 2, 4.0).cells([custom], Judge().label)] == ["concept", "kept"]


def test_a_judge_that_has_nothing_to_say_is_refused_before_anything_is_drawn(tmp_path: Path):
    path, judge = file(tmp_path / "p.csv", ("prompt",), ("a barn",)), Classifier(str(hub.classifier(tmp_path)), "imagenet")
    for protocol in (I2P(path, 2, 4.0), Coco(path, 2, 4.0)):
        with pytest.raises(BadInput, match=r"nothing to say of what protocol=(i2p|coco) asks: judge=clip"):
            protocol.asked(judge, [NUDITY])


def test_a_concept_without_a_label_is_judged_by_the_clip_beside_the_classifier(tmp_path: Path):
    source, words = str(hub.classifier(tmp_path / "judge")), str(hub.clip(tmp_path / "clip"))
    protocol, judge = Imagenette(1, 4.0), Classifier(source, "imagenet", zero_shot=words)
    erased = [Concept("church", ("church",)), VAN_GOGH]
    told, _ = protocol.asked(judge, erased)
    assert told.labels["imagenet"] == judge.labels["imagenet"]
    assert told.labels["clip"][0] == "van_gogh"
    assert (told.label("church"), told.label("van gogh")) == (("imagenet", "church"), ("clip", "van_gogh"))
    assert told.hash != judge.hash
    assert told.about["zero_shot"]["van_gogh"] == ["van gogh"]
    pictures = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    scores = told.score(pictures, ["a barn", "a church"])
    alone = Clip(words).among([([VAN_GOGH], protocol.others(erased))]).score(pictures, ["a barn", "a church"])
    assert torch.equal(scores["imagenet"], judge.score(pictures, [])["imagenet"])
    assert all(torch.equal(scores[name], alone[name]) for name in alone)
    assert protocol.asked(judge, erased[:1])[0] is judge  # who has labels for all needs nobody


def test_artists(model: StableDiffusion, tmp_path: Path):
    said = [("a barn by van gogh", "van gogh", 4), ("a church by van gogh", "van gogh", 5), ("a neon barn", "neon", 6)]
    path = file(tmp_path / "p.csv", ("prompt", "artist", "evaluation_seed"), *said)
    judge = Clip(str(hub.clip(tmp_path / "clip")))
    before, after = both(protocol := Artists(path, 2, 4.0, images_per_prompt=2), judge, [VAN_GOGH], model, tmp_path)
    assert [(j.cell.role, len(j)) for j in after] == [("concept", 4), ("kept", 2)]
    found = figures(protocol, before, after)
    for i, name in enumerate(("erased", "kept")):
        old, new = (judge.score(j[i].images, j[i].cell.prompts) for j in (before, after))
        assert found[f"clip_score_{name}"]["before"] == pytest.approx(float(old["clip_scores"].mean()), abs=1e-4)
        assert found[f"clip_score_{name}"]["after"] == pytest.approx(float(new["clip_scores"].mean()), abs=1e-4)
        apart = 1 - (old["features"] * new["features"]).sum(-1).mean()
        assert found[f"clip_distance_{name}"]["after"] == pytest.approx(float(apart), abs=1e-6)
        assert found[f"clip_distance_{name}"]["before"] == pytest.approx(0, abs=1e-6)
    assert 0 <= found["esr_1"]["after"] <= 1
    measured = protocol.measures(after, before)
    assert all(called(name).less == (measure.good < 0) for name, measure in measured.items())  # as a page has it
    with pytest.raises(BadInput, match="has no artist who was erased; its artists are van gogh, neon"):
        protocol.cells([NUDITY], judge.label)


def test_coco(model: StableDiffusion, tmp_path: Path):
    path = file(tmp_path / "p.csv", ("caption",), *[(f"a photo of a {thing}",) for thing in ("barn", "church") * 20])
    (tmp_path / "real").mkdir()
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(256, (20, 3, 48, 40), generator=rng, dtype=torch.uint8)
    for i, picture in enumerate(real):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "real" / f"{i}.png")
    judge, protocol = Clip(str(hub.clip(tmp_path / "clip"))), Coco(path, 1, 4.0, real=str(tmp_path / "real"))
    before, after = both(protocol, judge, [], model, tmp_path)
    found = figures(protocol, before, after)
    old, new = (judge.score(j[0].images, j[0].cell.prompts) for j in (before, after))
    assert found["clip_score"]["after"] == pytest.approx(float(new["clip_scores"].mean()), abs=1e-4)
    middle = poly_mmd(old["features"], new["features"])
    assert found["kid_unedited"]["after_low"] <= float(middle) <= found["kid_unedited"]["after_high"]
    assert found["kid_unedited"]["before"] == 0
    assert {"kid_real", "fid_unedited"} <= {*found}
    (one, spread), (two, other) = ((f.mean(0), f.T.cov()) for f in (old["features"].double(), new["features"].double()))
    roots = torch.linalg.eigvals(spread @ other).real.clamp(min=0).sqrt().sum()
    frechet = (one - two).square().sum() + spread.trace() + other.trace() - 2 * roots  # Heusel et al. 2017, equation 6
    assert found["fid_unedited"]["after"] == pytest.approx(float(frechet), abs=1e-4)
    assert "fid_real" not in found  # 40 pictures are enough for 8 features, 20 are not
    assert protocol.lock["real"] == 20
    again = Coco(path, 1, 4.0, real=str(tmp_path / "real"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clip, "score", None)  # no real picture is looked at twice
        again.meet(judge, tmp_path)
    assert torch.equal(again.truth, protocol.truth)
    held = again.lock["real_files"]
    (tmp_path / "real" / "0.png").write_bytes((tmp_path / "real" / "1.png").read_bytes())
    assert Coco(path, 1, 4.0, real=str(tmp_path / "real")).lock["real_files"] != held
    (tmp_path / "real" / "2.png").write_text("no picture")
    with pytest.raises(BadInput, match=r"2\.png is no picture that can be read"):
        Coco(path, 1, 4.0, real=str(tmp_path / "real")).meet(judge, tmp_path)
