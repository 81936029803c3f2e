"""Every YAML composes, fits the constructor that it names, and builds where nothing outside is needed."""

import re
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import pytest
from conftest import composed
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.utils import get_object
from omegaconf import OmegaConf

from erase import schema
from erase.attack.__main__ import settle
from erase.command import CONF, build, check, choices, groups
from erase.errors import BadInput
from erase.method.base import Method

OPTIONS = [(g, o) for g in groups() for o in choices(g)]
HUB = ("sd14", "sd15", "sd21", "sdxl")
AXES = (
    "model",
    "target",
    "preservation",
    "adversary",
    "parameters",
    "latents",
    "loss",
    "balance",
    "sharpness",
    "judge",
    "protocol",
    "logger",
)


def chosen(group: str, option: str) -> list[str]:
    found = {"method": "esd", "concept": "church", group: option}
    needed = {("preservation", "fixed"): "preservation.prompts=[a barn]", ("judge", "style"): "judge.source=mine"}
    extra = [needed[group, option]] if (group, option) in needed else []
    return [*(f"{g}={o}" for g, o in found.items()), *extra]


def test_no_option_is_missed():
    assert len(OPTIONS) == 109
    assert {g for g, _ in OPTIONS} == {*AXES, "concept", "method", "trainer", "experiment"}
    files = [p for p in CONF.rglob("*.yaml") if p.parent != CONF and p.parent.parent.name not in ("preset", "hydra")]
    assert len(files) == len(OPTIONS) + len(choices("attack"))
    assert sorted(p.stem for p in CONF.glob("*.yaml")) == [
        "attack",
        "evaluate",
        "export",
        "generate",
        "pretrain",
        "report",
        "train",
    ]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes_and_fits_its_constructor(group: str, option: str):
    config = composed(*chosen(group, option))
    node = config.get(group, {})  # an experiment is no field
    if "_target_" in node:
        objects = {*signature(Method).parameters} - {"name"} if group == "method" else ()
        check(get_object(node["_target_"]), node, group, objects)
    if option == "tensorboard" and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
        with pytest.raises(BadInput, match=r"logger=tensorboard needs tensorboard: pip install 'erase\[tensorboard\]'."):
            build(node, group)
    elif group in AXES and option not in HUB:
        assert build(node, group) is not None


@pytest.mark.parametrize(
    ("protocol", "judge"),
    [("quick", "Drawings"), ("imagenette", "Classifier"), ("i2p", "NudeNet"), ("artists", "Clip"), ("coco", "Clip")],
)
def test_a_protocol_has_its_judge_unless_another_is_named(protocol: str, judge: str):
    schema.register(schema.Evaluate)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        own, other = (compose("evaluate", ["run=x", f"protocol={protocol}", *more]) for more in ([], ["judge=clip"]))
    assert own.judge._target_.endswith(f".{judge}")
    assert other.judge._target_.endswith(".Clip")


@pytest.mark.parametrize("option", choices("attack"))
def test_attack_composes_and_builds(option: str):
    schema.register(schema.Attack)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        small, large = (compose("attack", [f"attack={option}", "run=x"]).attack for _ in range(2))
    drawn, other = (OmegaConf.load(CONF / "model" / f"{name}.yaml") for name in ("miniature", "sd14"))
    settle(small, drawn)
    settle(large, other)
    check(get_object(small["_target_"]), small, "attack")
    assert 0 < build(small, "attack").rounds != build(large, "attack").rounds
    assert (small.budget, large.budget) == ("miniature", "published")
    settle(small, other)
    assert small.budget == "miniature"  # who was told one keeps it


@pytest.mark.parametrize("group", [g for g in groups() if g not in ("concept", "experiment")] + ["attack"])
def test_a_head_says_its_fields_as_the_command_line_has_them(group: str):
    """`steps=30` in an adversary's head would be taken for the training's steps."""
    for file in sorted((CONF / group).glob("*.yaml")):
        head = [line for line in file.read_text().splitlines() if line.startswith("#")]
        node = OmegaConf.load(file)
        said = re.findall(r"(?<![\w.])([a-z_]+)=", " ".join(head))
        assert not {*said} & {*node.get(group, node)}, file


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF)))
def test_file_says_what_it_is(file: Path):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("file", sorted((CONF / "preset").rglob("*.yaml")), ids=lambda p: p.stem)
def test_preset_belongs_to_a_model_and_a_method(file: Path):
    own = OmegaConf.load(CONF / "method" / f"{file.stem}.yaml").method
    assert {*OmegaConf.load(file)} <= {"steps", "lr", "lr_schedule", "batch_size", "keep", *own}
    assert file.parent.name in choices("model")
    assert file.stem in choices("method")


def test_command_line_beats_method_beats_defaults():
    assert composed("method=esd", "concept=church").preservation.weight == 0
    assert "Adversarial" in composed("method=adv_preserve", "concept=church").preservation._target_
    assert composed("method=adv_preserve", "preservation=none", "concept=church").preservation.weight == 0
    assert composed("method=esd", "concept=church").steps == 150
    assert composed("method=esd", "concept=church", "steps=7").steps == 7


def test_command_line_beats_experiment_beats_preset():
    assert composed("method=esd", "concept=church", "experiment=curves").protocol.images == 32
    assert composed("method=esd", "concept=church", "experiment=curves", "protocol.images=3").protocol.images == 3
    assert composed("method=esd", "concept=church").protocol.images == 8


@pytest.mark.filterwarnings("ignore:.*is validated against ConfigStore schema")
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_a_launcher_has_the_fields_of_its_plugin(launcher: str):
    Plugins.instance()  # puts the plugins' own there, against which Hydra holds ours
    schema.register(schema.Train)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["method=esd", "concept=church", f"hydra/launcher={launcher}"]
        found = compose("train", given, return_hydra_config=True).hydra.launcher
    assert {*OmegaConf.load(CONF / "hydra" / "launcher" / f"{launcher}.yaml")} <= {*found}
    assert len(found) > 6


@pytest.mark.parametrize("row", [e for e in choices("experiment") if e.startswith("papers/")])
def test_a_papers_row_chooses_all_that_it_needs(row: str):
    artist = ["concept=custom", "concept.prompts=[Thomas Kinkade]"] if row.endswith(("_artists", "_xl")) else []
    found = composed(f"experiment={row}", *artist)
    assert row.startswith(f"papers/{'eap' if found.method.name == 'adv_preserve' else found.method.name}_")
    assert found.model.name == ("sdxl" if row.endswith("_xl") else "sd14")
    if found.method.name == "uce":
        assert (found.steps, found.method.erase_scale, found.target.eta, found.preservation.prompts) == (1, 1.0, 0.0, [""])
        return
    assert (found.steps, found.lr) == ((200, 2e-4) if row.endswith("_xl") else (1000, 1e-5))
    assert found.latents.steps == 50
    assert "OnPolicy" in found.latents._target_
    assert found.latents.lag == (0 if row.endswith("_xl") else 2)
    assert found.batch_size == len(found.concept.members)
    alike = {"papers/esd_x_nudity": "papers/esd_nudity", "papers/eap_x_nudity": "papers/eap_nudity"}
    if row in alike:
        other = composed(f"experiment={alike[row]}")
        assert "attn2" in found.parameters.include != other.parameters.include
        assert (found.latents, found.concept, found.loss) == (other.latents, other.concept, other.loss)


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl"])
def test_a_model_without_settings_of_its_own_has_those_of_1_4(model: str):
    found, known = (composed("method=concept_ablation", "concept=church", f"model={name}") for name in (model, "sd14"))
    assert (found.steps, found.lr, found.batch_size) == (known.steps, known.lr, known.batch_size) == (100, 1.6e-5, 8)


def test_concepts_merge():
    assert set(composed("method=esd", "concept=[church,nudity]").concept.members) == {"church", "nudity"}


def test_the_papers_sets_share_the_ten_classes():
    sets = [{*composed("method=esd", f"concept=imagenette_v{i}").concept.members} for i in (1, 2, 3, 4)]
    others = {"nudity", "nudity_bare", "van_gogh", "van_gogh_bare", "custom", *(f"imagenette_v{i}" for i in (1, 2, 3, 4))}
    ten = {*choices("concept")} - others
    assert [len(s) for s in (*sets, ten)] == [5, 5, 5, 5, 10]
    assert sets[0] | sets[1] == sets[2] | sets[3] == ten


@pytest.mark.parametrize(
    ("concept", "name"),
    [
        ("church", "church"),
        ("[church,nudity]", "church+nudity"),
        ("imagenette_v4", "imagenette_v4"),
        ("[imagenette_v1,imagenette_v1]", "imagenette_v1"),
        ("[imagenette_v1,church,nudity]", "cassette_player+church+garbage_truck+parachute+french_horn+nudity"),
    ],
)
def test_a_run_is_named_by_what_it_erases(concept: str, name: str):
    assert composed("method=esd", f"concept={concept}").name == f"esd-{name}-0"


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"_target_": "erase.target.Negative", "etta": 1.0}, "x.etta is not a field"),
        ({"_target_": "erase.target.Negative", "eta": "much"}, "x.eta='much' is of a wrong type"),
        ({"_target_": "erase.preservation.fixed.Fixed", "prompts": "???"}, "x.prompts must be given"),
    ],
)
def test_wrong_field_is_named(node: dict[str, object], says: str):
    with pytest.raises(BadInput, match=says):
        build(OmegaConf.create(node), "x")
