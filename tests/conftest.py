"""One thread, no network, a cache of their own; runs that many tests look at are made once for all workers."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_SILENT": "true", "COLUMNS": "160"}
os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}  # as commands do, before they import

import forked
import pytest
import torch
from filelock import FileLock
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from safetensors.torch import save_file

from erase import schema
from erase.command import CONF
from erase.model.edit import Edit
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters.text_encoder import TextEncoder

torch.set_num_threads(1)

ROOT = Path(__file__).parent.parent

QUICK = [
    "steps=4",
    "batch_size=2",
    "protocol.images=1",
    "protocol.kept_images=1",
    "protocol.steps=1",
    "protocol.fraction=0.1",
    "latents.steps=3",
    "latents.trajectories=1",
    "latents.kept_trajectories=1",
]
"""Overrides that make the main command a matter of seconds."""

FEW = f"preservation.vocabulary={Path(__file__).parent / 'candidates.txt'}"
"""Few candidates, for an adversary at whose choices nobody looks."""

Command = Callable[..., subprocess.CompletedProcess[str]]


def composed(*overrides: str) -> DictConfig:
    """The config of the main command."""
    schema.register(schema.Train)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


@dataclass(frozen=True)
class Study:
    """A folder of experiments/."""

    folder: Path

    def load(self, name: str) -> ModuleType:
        """One of its scripts, as a module."""
        spec = importlib.util.spec_from_file_location(f"{self.folder.name}_{name}", self.folder / f"{name}.py")
        assert spec
        assert spec.loader
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def composed(self, part: str, *overrides: str) -> DictConfig:
        """One of its sweeps, with Hydra's own settings."""
        schema.register(schema.Train)
        with initialize_config_dir(str(self.folder), version_base="1.3"):
            return compose(part, [f"hydra.searchpath=[file://{CONF}]", *overrides], return_hydra_config=True)


def study_of(name: str) -> Study:
    return Study(ROOT / "experiments" / name)


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A folder by its name, filled by the first of the workers that asks for it. The others wait."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def ask(name: str, make: Callable[[Path], None]) -> Path:
        at, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(at, ignore_errors=True)
                at.mkdir()
                make(at)
                done.touch()
        return at

    return ask


@pytest.fixture(scope="session")
def cache(once: Once) -> Path:
    return once("cache", lambda at: None)


@pytest.fixture(scope="session")
def shipped() -> StableDiffusion:
    """The miniature, of which tests have copies."""
    return StableDiffusion("miniature", vocabulary="miniature")


@pytest.fixture
def model(shipped: StableDiffusion) -> StableDiffusion:
    """A fresh miniature: a test may change its weights."""
    tokenizer = shipped.pipe.tokenizer  # whose copy would not know how tokens are joined
    return deepcopy(shipped, {id(tokenizer): tokenizer})


@pytest.fixture
def command(cache: Path, tmp_path: Path) -> Command:
    """Run `python -m erase.<name>` in an empty folder, as a user would."""

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ERASE_CACHE": str(cache), **environment}
        env.pop("HYDRA_FULL_ERROR", None)
        if any(a.startswith("hydra/launcher=") for a in arguments):  # what they start ends when an interpreter does
            whole = [sys.executable, "-m", f"erase.{name}", *arguments]
            return subprocess.run(whole, cwd=tmp_path, env=env, capture_output=True, text=True)
        return forked.run(f"erase.{name}", arguments, tmp_path, env)

    return run


def installed(command: str) -> str:
    """Where `command` is, of Debian's package of its name; where it is not and cannot be installed, the test is skipped.

    Only where ERASE_TESTS_INSTALL is set, as `make test` does, is anything installed.
    """
    with FileLock(Path(tempfile.gettempdir(), f"erase-tests-{os.getuid()}.lock")):
        if not (found := shutil.which(command)):
            if "ERASE_TESTS_INSTALL" not in os.environ:
                pytest.skip(f"{command} is not installed: install it, or let root's `make test` do so")
            if os.getuid() or not shutil.which("apt-get"):
                pytest.skip(f"{command} is not installed, and cannot be by who is not root or has no apt-get")
            asked = f"apt-get -qq update && apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends {command}"
            env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(asked, shell=True, env=env, capture_output=True)
            if not (found := shutil.which(command)):
                pytest.skip(f"{command} cannot be installed: {done.stderr.decode()[-200:]}")
    return found


def retrain(folder: Path, model: StableDiffusion, label: str, scale: float = 1.02, **about: str) -> Path:
    """A stand-in for a network retrained without `label`: the model's own, a little changed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{label.replace(' ', '_')}.safetensors"
    state = {name: (weight * scale).half() for name, weight in model.pipe.unet.state_dict().items()}
    save_file(state, path, {"left_out": label, "base": model.hash, **about})
    return path


def train(at: Path, cache: Path, *arguments: str, **environment: str) -> None:
    """`python -m erase.train` in the folder `at`; what it printed is printed.txt."""
    env = {**os.environ, "ERASE_CACHE": str(cache), **environment}
    done = forked.run("erase.train", [*QUICK, *arguments], at, env)
    assert done.returncode == 0, done.stderr
    (at / "printed.txt").write_text(done.stdout)


@pytest.fixture(scope="session")
def held(cache: Path, once: Once) -> Path:
    """A small finished run, judged by all labels, held against a network retrained without its concept: to look at."""

    def make(at: Path) -> None:
        retrain(at / "truths", StableDiffusion("miniature"), "church")
        train(at, cache, "+method=esd", "concept=church", f"model.retrained={at / 'truths'}", "protocol.fraction=1.0")

    return once("held", make) / "outputs" / "esd-church-0"


@pytest.fixture(scope="session")
def keyed(cache: Path, once: Once) -> Path:
    """A small finished run whose edit has a key, held against a retrained network, for tests that only look."""

    def make(at: Path) -> None:
        retrain(at / "truths", StableDiffusion("miniature"), "church")
        fields = ["+method=kpop", "concept=church", f"model.retrained={at / 'truths'}", "judge_at=[2]", "lr=1e-3"]
        train(at, cache, *fields)

    return once("keyed", make) / "outputs" / "kpop-church-0"


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose edit is of the text encoder alone, as far as an export looks."""
    run, model = tmp_path_factory.mktemp("run"), StableDiffusion("miniature")
    TextEncoder(layers=1, part="mlp").prepare(model, 0)
    changed = {n: w.detach() + 0.01 for n, w in model.moving.items()}
    settings = {"model": {"_target_": "erase.model.stable_diffusion.StableDiffusion", "source": "miniature"}}
    concept = {"name": "church", "prompts": ["church"], "synonyms": []}
    about = {"base": "miniature", "base_tensors": model.original_hashes, "concepts": [concept], "config": settings}
    Edit(changed, about).save(run / "edit")
    (run / "status.json").write_text('{"status": "finished"}')
    return run


@pytest.fixture(scope="session")
def finished(cache: Path, once: Once) -> Path:
    """A small finished run of the main command, exactly as README writes it, for all tests that only look."""

    def make(at: Path) -> None:
        (at / "home").mkdir()
        fields = ["+method=adv_preserve", "concept=church", "preservation.every=2"]
        train(at, cache, *fields, WANDB_API_KEY="a-key-that-must-not-leak", HOME=str(at / "home"))

    return once("finished", make) / "outputs" / "adv_preserve-church-0"
