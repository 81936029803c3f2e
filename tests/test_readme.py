"""Every command that README shows, run as it stands; the long ones with fewer steps and pictures."""

import os
import re
import shlex
from pathlib import Path

import forked
import pytest
from conftest import QUICK, ROOT, Command

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:bash|sh)\n(.*?)```", README, re.S)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]
TRAIN = [c for c in COMMANDS if c.startswith("python -m erase.train") and "--config-dir conf " not in c]
OWN = [c for c in COMMANDS if "--config-dir conf " in c]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
MADE = [c for c in COMMANDS if re.match(r"python -m erase\.(generate|export|attack)", c)]
JUDGED = [c for c in COMMANDS if c.startswith("python -m erase.evaluate")]
REVIEWED = [c for c in COMMANDS if c.startswith("python -m erase.report")]
ONE = [*QUICK, "steps=1", "batch_size=1"]


def test_readme_shows_the_commands():
    assert len(TRAIN) >= 4
    assert len(MADE) >= 7
    assert len(JUDGED) >= 5
    assert len(REVIEWED) >= 2
    assert {"make erase", "make test"} <= set(COMMANDS)


def test_runs_that_are_named_were_made_by_a_command_above():
    """Who has typed all that stands before `outputs/<run>` has it, without a download."""
    made: set[str] = set()
    for line in README.replace("\\\n", " ").splitlines():
        assert {*re.findall(r"outputs/([\w+]+-[\w+]+-\d+)", line)} <= made, line
        if line == "make erase":
            made.add("adv_preserve-nudity-0")
        if line in TRAIN and " -m " not in line.removeprefix("python -m"):
            given = dict(a.removeprefix("+").split("=", 1) for a in shlex.split(line, comments=True) if "=" in a)
            if {"method", "concept"} <= {*given} and "model" not in given:
                made.add(f"{given['method']}-{given['concept']}-{given.get('seed', 0)}")


@pytest.mark.parametrize("line", TRAIN)
def test_train(line: str, command: Command, finished: Path):
    _, _, _, *arguments = shlex.split(line, comments=True)
    if any(a.startswith("resume=") for a in arguments):
        arguments = [f"resume={finished}"]
    elif any(a.startswith(("model=sd", "experiment=papers/")) for a in arguments):  # of the hub, which tests do not ask
        done = command("train", *arguments)
        assert done.returncode == 2
        assert "the hub cannot be reached: `hf download " in done.stderr
        assert len(done.stderr.splitlines()) == 1
        return
    elif "--help" not in arguments:
        arguments = [a for a in arguments if not a.startswith(("protocol.", "steps="))] + [*ONE, "logger=none"]
        fewer = {"seed=0,1": "seed=0", "concept=nudity,church": "concept=church", "+method=adv_preserve,esd": "+method=esd"}
        arguments = [fewer.get(a, a) for a in arguments]
        if "--config-dir" in arguments:  # a study of many runs, named from the project's own folder
            arguments = [str(ROOT / a) if a.startswith("experiments/") else a for a in arguments]
            arguments += ["concept=church", "method=esd", "--cfg", "job"]  # tests/test_sweep.py runs it
    done = command("train", *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", MADE)
def test_what_a_run_is_for(line: str, command: Command, finished: Path, encoder: Path, request: pytest.FixtureRequest):
    _, _, module, *arguments = shlex.split(line, comments=True)
    of = {"key=true": "keyed", "format=text_encoder": "encoder", "victim=[edited,unedited,retrained]": "held"}
    run = request.getfixturevalue(next((run for asked, run in of.items() if asked in arguments), "finished"))
    both = f"edits=[{finished},{encoder}]"
    arguments = [f"run={run}" if a.startswith("run=") else both if a.startswith("edits=") else a for a in arguments]
    if module == "erase.attack":
        own = {"attack=unlearn_diff": "attack.iterations=1", "attack=concept_inversion": "attack.updates=1"}
        few = ["prompts=1", "attack.rounds=1", *(own[a] for a in arguments if a in own)]
        arguments = [*arguments, *few]
    elif module == "erase.generate":
        arguments = [*arguments, "seeds=1", "steps=2"]
    done = command(module.removeprefix("erase."), *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", JUDGED)
def test_evaluate(line: str, command: Command, finished: Path, held: Path):
    _, _, _, *arguments = shlex.split(line, comments=True)
    if "run=church-free" in arguments:
        assert command("export", f"run={finished}", "out=church-free").returncode == 0
    for name, run in (("outputs/adv_preserve-church-0", finished), ("outputs/esd-church-0", held)):
        arguments = [argument.replace(name, str(run)) for argument in arguments]
    done = command("evaluate", *arguments, *(o for o in QUICK if o.startswith("protocol.")))
    assert done.returncode in ((0, 3) if "gates" in line else (0,)), done.stderr
    assert "figures and raw scores: " in done.stdout


@pytest.mark.parametrize("line", REVIEWED)
def test_review(line: str, command: Command, finished: Path):
    _, _, module, *arguments = shlex.split(line, comments=True)
    done = command(module.removeprefix("erase."), *(a.replace("outputs", str(finished.parent)) for a in arguments))
    assert done.returncode == 0, done.stderr
    assert "adv_preserve-church-0" in done.stdout or "report.html: 1 run," in done.stdout


def test_python_example(finished: Path, tmp_path: Path):
    (code,) = [block for block in PYTHON if "StableDiffusionPipeline" in block]
    code = code.replace("outputs/adv_preserve-church-0", str(finished))
    (tmp_path / "example.py").write_text(code)
    done = forked.run("example", [], tmp_path, os.environ)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gone.png").is_file()


def test_what_one_adds_oneself(cache: Path, tmp_path: Path):
    (method,), (attack,) = ([block for block in PYTHON if f"({base})" in block] for base in ("Method", "Attack"))
    (config,) = re.findall(r"```yaml\n(.*?)```", README, re.S)
    files = {"ascent.py": method, "begging.py": attack, "conf/method/ascent.yaml": config}
    for name, text in {**files, "conf/attack/begging.yaml": "_target_: begging.Begging\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    env = {**os.environ, "ERASE_CACHE": str(cache)}
    (line,) = OWN
    done = forked.run("erase.train", [*shlex.split(line)[3:], *ONE, "logger=none"], tmp_path, env)
    assert done.returncode == 0, done.stderr
    given = ["--config-dir", "conf", "run=outputs/ascent-church-0", "attack=begging", "prompts=1"]
    done = forked.run("erase.attack", given, tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert "ascent-church-0: begging" in done.stdout
    done = forked.run("erase.attack", [*given, "promts=1"], tmp_path, env)
    assert "promts is not a field of this command; did you mean prompts" in done.stderr
