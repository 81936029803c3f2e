"""The text encoder's layers, by their numbers."""

import pytest

from erase.errors import BadInput
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters.text_encoder import TextEncoder

PARTS = ("self_attn.q_proj", "mlp.fc1", "layer_norm1")
NAMES = [f"text_encoder.encoder.layers.{i}.{part}.weight" for i in range(12) for part in PARTS]
OTHERS = ["text_encoder.embeddings.token_embedding.weight", "text_encoder.final_layer_norm.bias", "unet.layers.0.mlp.weight"]


@pytest.mark.parametrize("prefix", ["text_encoder.encoder", "text_encoder.text_model.encoder"])
@pytest.mark.parametrize(
    ("layers", "part", "count"), [(2, "all", 6), (1, "attention", 1), (11, "mlp", 11), (12, "all", 36), (None, "mlp", 12)]
)
def test_layers_are_numbers(layers: int | None, part: str, count: int, prefix: str):
    known = [n.replace("text_encoder.encoder", prefix) for n in NAMES + OTHERS]
    found = TextEncoder(layers, part).select(known).names(known)
    assert len(found) == count
    assert {n.split(".layers.")[1].split(".")[0] for n in found} == {str(i) for i in range(layers or 12)}


def test_the_whole_encoder_is_layers_and_final_norm(model: StableDiffusion):
    TextEncoder().prepare(model, 0)
    own = [n for n, _ in model.named_parameters() if n.startswith("text_encoder.")]
    assert [*model.moving] == [n for n in own if "embedding" not in n]
    assert model.text_encoder_moves


def test_nonsense_is_refused(model: StableDiffusion):
    for field, value in (("layers", 0), ("part", "norm")):
        with pytest.raises(BadInput, match=f"parameters.{field}={value}"):
            TextEncoder(**{field: value})
    with pytest.raises(BadInput, match=r"parameters\.layers=5 is more than the text encoder has: 4"):
        TextEncoder(5).prepare(model, 0)
