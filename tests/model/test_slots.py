"""Free tokens in a prompt: counted in tokens, every word kept, and the embeddings' door."""

from pathlib import Path

import pytest
import torch

from erase.model.slots import KINDS, Slots
from erase.model.stable_diffusion import StableDiffusion

E, P = 32, [*range(1, 6)]  # where free ones begin; the tokens of a prompt of five


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("prefix", [E, E + 1, *P]),
        ("suffix", [*P, E, E + 1]),
        ("replaced", [E, E + 1]),
        ("inserted", [1, 2, E, 3, E + 1, 4, 5]),
    ],
)
def test_places(kind: str, body: list[int]):
    found = Slots(kind, 2).places(5, 32)
    assert len(found) == 32
    assert found[: len(body) + 2] == [0, *body, 6]
    assert found[len(body) + 2 :][:3] == [7, 8, 9]
    assert max(f for f in found if f < E) == 31 or len(body) > 6


def test_a_full_prompt_keeps_its_end():
    assert Slots("prefix", 2).places(28, 32)[-1] == 29
    assert Slots("replaced", 2).places(28, 32)[3:] == [29, 30, *[31] * 27]


def test_tokens_are_counted_and_not_words(model: StableDiffusion):
    """vangogh is to this tokenizer what nudity is to CLIP's: one word, several tokens."""
    red, (begin, *word, end, _) = model.tokenize(["red"])[0, 1:2], model.tokenize(["vangogh"])[0, :6].tolist()
    assert model.lengths(["vangogh"]) == [len(word)] == [3]
    values = model.embed(red[None])
    with torch.no_grad():
        whole, cut = (Slots("prefix", 1, by_words=b).heard(model, ["vangogh"], values).sequence for b in (False, True))
    for found, kept in ((whole, word), (cut, [word[0], word[2]])):  # as published, the second token is lost
        ids = torch.full((1, 32), end)
        ids[0, : len(kept) + 2] = torch.tensor([begin, red, *kept])
        torch.testing.assert_close(found, model.encode(ids).sequence.detach())


@pytest.mark.parametrize("kind", KINDS)
def test_words_put_back_are_heard_as_the_text(kind: str, model: StableDiffusion):
    """Free tokens with the embeddings of words say what a text of these words says."""
    said = {"prefix": "red church barn", "suffix": "church barn red", "replaced": "red", "inserted": "church red barn"}
    slots = Slots(kind, 1)
    values = model.embed(model.tokenize(["red"])[:, 1:2])
    if kind == "added":
        values = torch.zeros(1, 2, 128)
    with torch.no_grad():
        heard = slots.heard(model, ["church barn"], values)
    wanted = model.prompt([said.get(kind, "church barn")])
    torch.testing.assert_close(heard.sequence, wanted.sequence)


def test_only_a_prompts_own_tokens_are_added_to(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch):
    slots, prompts = Slots("added", 1), ["church", "a photo of a church"]
    assert slots.size(model, prompts, "x") == 5
    seen = []
    monkeypatch.setattr(model, "encode", lambda ids, embeddings: seen.append(embeddings))
    values = torch.ones(2, 5, 128, requires_grad=True)
    slots.heard(model, prompts, values)
    moved = (seen[0] - model.embed(model.tokenize(prompts))).abs().amax(2) > 0
    assert moved.sum(1).tolist() == [1, 5]
    assert moved[:, 1].all()
    seen[0].sum().backward()
    assert values.grad.any(2).sum(1).tolist() == [1, 5]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_embeddings_are_heard_by_who_is_asked(precision: torch.dtype, tmp_path: Path):
    model = StableDiffusion("miniature", precision=precision)
    model.move(["text_encoder.encoder.layers.0.mlp.fc1.weight"])
    ids = model.tokenize(["a church", "a barn"])
    embeddings = model.embed(ids).requires_grad_()
    with torch.no_grad():
        torch.testing.assert_close(model.encode(ids, embeddings=embeddings).sequence, model.encode(ids).sequence)
        model.put({n: 2 * w for n, w in model.moving.items()})
        theirs, ours = (model.encode(ids, edited, embeddings).sequence for edited in (False, True))
    assert torch.equal(theirs, model.prompt(["a church", "a barn"], edited=False).sequence)
    assert not torch.equal(theirs, ours)
    (gradient,) = torch.autograd.grad(model.encode(ids, embeddings=embeddings).sequence.float().square().sum(), embeddings)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


def test_text_and_tokens(model: StableDiffusion):
    ids = model.tokenize(["a photo of a church"])[0].tolist()
    assert model.detokenize(ids) == "a photo of a church"
    assert {ids[0], ids[-1]} <= model.special
    assert model.table.shape == (990, 128)
    assert {*model.ordinary.tolist()} == {*range(990)} - model.special
