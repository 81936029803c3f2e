"""Judges of transformers' classes, and NudeNet's own detector, against what these libraries say when asked directly."""

from importlib.util import find_spec
from pathlib import Path

import hub
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from transformers import AutoImageProcessor, AutoModelForImageClassification, AutoTokenizer, CLIPModel

from erase.concept import Concept
from erase.errors import BadInput
from erase.judge import nudenet
from erase.judge.classifier import Classifier
from erase.judge.clip import Clip


def pictures(count: int = 3) -> torch.Tensor:
    """Noise, (count, 3, 64, 64) uint8."""
    return torch.randint(256, (count, 3, 64, 64), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def files(images: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in images]


def test_a_classifier_says_what_transformers_says(tmp_path: Path):
    folder = hub.classifier(tmp_path / "resnet")
    judge = Classifier(str(folder), "imagenet")
    network = AutoModelForImageClassification.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(files(pictures()), return_tensors="pt")
    with torch.no_grad():
        said = network(**pixels).logits.softmax(-1)
    assert torch.allclose(judge.score(pictures(), [""] * 3)["imagenet"], said, atol=1e-6)
    assert judge.labels["imagenet"][:2] == ("tench", "english springer")


@pytest.mark.parametrize(
    ("phrase", "label"),
    [
        ("a photo of a church", "church"),
        ("English Springer Spaniel, running", "english springer"),
        ("chain_saw", "chain saw"),
        ("a horn", "french horn"),
        ("churches", None),
        ("a zebra", None),
    ],
)
def test_a_classifier_knows_its_labels_by_all_their_names(phrase: str, label: str | None, tmp_path: Path):
    found = Classifier(str(hub.classifier(tmp_path)), "imagenet").label(phrase)
    assert found == (("imagenet", label) if label else None)


def test_other_weights_are_another_judge(tmp_path: Path):
    one, same = (Classifier(str(hub.classifier(tmp_path / name)), "imagenet") for name in ("one", "same"))
    other = Classifier(str(hub.classifier(tmp_path / "other", hub.LABELS[:5])), "imagenet")
    assert one.hash == same.hash != other.hash
    assert one.about["classes"]["imagenet"][0] == "tench"


def test_clip_says_what_transformers_says(tmp_path: Path):
    folder, prompts = hub.clip(tmp_path / "clip"), ["a church", "a barn", "a photo of a tench in a park"]
    judge = Clip(str(folder)).among([([Concept("church", ("church", "a church"))], {"barn": "a photo of a barn"})])
    network, tokenizer = CLIPModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(files(pictures()), return_tensors="pt").pixel_values
    texts = [*prompts, "church", "a church", "a photo of a barn"]
    with torch.no_grad():
        said = network(pixel_values=pixels, **tokenizer(texts, padding="max_length", return_tensors="pt"))
    found = judge.score(pictures(), prompts)
    cosines = said.image_embeds @ said.text_embeds.T
    assert torch.allclose(found["clip_scores"], 100 * cosines[:, :3].diagonal(), atol=1e-4)
    assert torch.allclose(found["features"], said.image_embeds, atol=1e-6)
    words = torch.stack([torch.nn.functional.normalize(said.text_embeds[3:5].mean(0), dim=-1), said.text_embeds[5]])
    assert torch.allclose(found["clip"], (100 * said.image_embeds @ words.T).softmax(-1), atol=1e-4)
    assert judge.labels == {"clip": ("church", "barn")}
    assert [judge.label(p) for p in ("church", "a photo of a barn", "a dog")] == [("clip", "church"), ("clip", "barn"), None]


def test_clip_answers_each_question_by_itself(tmp_path: Path):
    folder, church, van_gogh = str(hub.clip(tmp_path)), Concept("church", ("church",)), Concept("van_gogh", ("van gogh",))
    things, ways = ([church], {"barn": "a photo of a barn"}), ([van_gogh], {"neon": "a neon thing", "photo": "a photo"})
    both = Clip(folder).among([things, ways])
    assert both.labels == {"clip": ("church", "barn"), "clip 2": ("van_gogh", "neon", "photo")}
    assert [both.label(p) for p in ("church", "van gogh", "barn", "neon", "a zebra")] == [
        ("clip", "church"), ("clip 2", "van_gogh"), ("clip", "barn"), ("clip 2", "neon"), None,
    ]  # fmt: skip
    scores = both.score(pictures(), ["x"] * 3)
    for head, question in (("clip", things), ("clip 2", ways)):
        assert torch.equal(scores[head], Clip(folder).among([question]).score(pictures(), ["x"] * 3)["clip"])
    assert {*both.about["zero_shot"]} == {"church", "barn", "van_gogh", "neon", "photo"}


@pytest.mark.parametrize("judge", [Clip("no/such"), Classifier("no/such", "imagenet")])
def test_what_does_not_load_is_named(judge: Clip | Classifier):
    with pytest.raises(BadInput, match=r"judge\.source=no/such does not load as"):
        judge.hash  # noqa: B018


def face() -> Image.Image:
    """A person's drawn face: nothing explicit is anywhere in these tests."""
    picture = Image.new("RGB", (640, 640), (120, 130, 125))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((40, 470, 600, 900), fill=(60, 70, 110))
    pen.ellipse((150, 70, 490, 480), fill=(50, 35, 25))
    pen.rectangle((260, 400, 380, 520), fill=(200, 150, 122))
    pen.ellipse((205, 170, 435, 465), fill=(228, 178, 148))
    for x in (265, 375):
        pen.ellipse((x - 34, 252, x + 34, 288), fill=(240, 236, 232))
        pen.ellipse((x - 16, 253, x + 16, 287), fill=(70, 50, 35))
        pen.arc((x - 46, 215, x + 46, 280), 200, 340, fill=(55, 38, 28), width=12)
    pen.polygon([(312, 280), (300, 355), (340, 355), (328, 280)], fill=(215, 160, 132))
    pen.ellipse((275, 388, 365, 422), fill=(185, 85, 85))
    small = picture.filter(ImageFilter.GaussianBlur(4)).resize((160, 160))
    page = Image.new("RGB", (320, 320), (120, 130, 125))
    page.paste(small, (80, 60))
    return page


@pytest.mark.skipif(not find_spec("nudenet"), reason="pip install 'erase[nudity]'")
def test_nudenet_sees_in_pictures_what_it_sees_in_files(tmp_path: Path):
    from nudenet import NudeDetector

    drawn = [face(), Image.new("RGB", (320, 320), (90, 140, 90))]
    images = torch.stack([torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) for picture in drawn])
    judge = nudenet.NudeNet([0.5])
    found = judge.score(images, [])
    for i, picture in enumerate(drawn):
        picture.save(tmp_path / f"{i}.png")
        said = {b["class"]: b["score"] for b in NudeDetector().detect(str(tmp_path / f"{i}.png"))}
        scores = dict(zip(nudenet.LABELS, found[nudenet.HEAD][i].tolist(), strict=True))
        assert {n: s for n, s in scores.items() if s} == pytest.approx(said)
    assert found[nudenet.HEAD][0, nudenet.LABELS.index("FACE_FEMALE")] > 0.5
    assert torch.equal(found["boxes"][..., 0], found[nudenet.HEAD])
    assert not found["boxes"][1].any()
    assert judge.about["version"] == judge.version in judge.hash


def test_without_nudenet_it_is_said_what_is_needed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nudenet, "find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match=r"judge=nudenet needs nudenet, which is under the AGPL-3.0: pip install 'erase\[nudity\]'."
    ):
        nudenet.NudeNet([0.5]).hash  # noqa: B018


@pytest.mark.parametrize("thresholds", [[], [0.1], [0.5, 1.0]])
def test_thresholds_that_are_none_are_refused(thresholds: list[float]):
    with pytest.raises(BadInput, match=r"judge.thresholds=\["):
        nudenet.NudeNet(thresholds)
