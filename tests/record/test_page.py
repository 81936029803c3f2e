"""Run folders read, packed and written as a page or a table; the browser's side is in test_browser.py."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic
import torch
from conftest import Command
from page_file import Page
from PIL import Image

from erase.errors import BadInput
from erase.miniature import world
from erase.record.page.pictures import PLANS, Plan, _taken, collect
from erase.record.page.read import Experiment, differing, find, read, read_all
from erase.record.page.scores import THRESHOLDS, pack
from erase.record.page.table import FORMATS
from erase.record.page.write import content, write
from erase.record.pictures import grid

HOSTILE = "</script><script>alert(1)</script><b>&'\"`|\\_"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of eight runs, one that failed and one that was refused."""
    place = tmp_path_factory.mktemp("runs") / "first"
    synthetic.write_runs(place, 8)
    synthetic.write_run(place / "esd-church-9", seed=9, state="failed", why=f"FloatingPointError: {HOSTILE}")
    said = {"runs": {"lr=-1": {"outcome": "refused", "why": "lr=-1 must be positive.", "overrides": ["lr=-1"]}}}
    (place / "summary.json").write_text(json.dumps(said))
    return place


def test_folders_globs_and_lists_are_found_once(runs: Path):
    one = runs / "esd-church-0"
    assert find(str(one)) == ([one], [])
    assert find(str(runs)) == find(str(runs.parent)) == (find([str(runs / "*"), str(one)])[0], [runs])
    assert len(find(str(runs))[0]) == 9
    assert {p.name for p in find(str(runs / "esd-*"))[0]} == {"esd-church-0", "esd-nude-0", "esd-church-9"}
    with pytest.raises(BadInput, match=r"runs=nowhere holds no run folder"):
        find("nowhere")


def test_a_run_is_found_once_however_it_is_named(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(runs.parent)
    assert find([runs.name, str(runs)]) == (sorted(p.parent for p in Path(runs.name).rglob("status.json")), [Path(runs.name)])
    odd = shutil.copytree(runs / "esd-church-0", tmp_path / "esd-[a]-0")
    assert find(str(odd)) == ([odd], [])


def test_what_did_not_finish_says_why(runs: Path):
    by_state = {e.state: e for e in read_all(*find(str(runs)))}
    assert {*by_state} == {"finished", "failed", "refused"}
    assert by_state["failed"].why == f"FloatingPointError: {HOSTILE}"
    assert by_state["refused"].why == "lr=-1 must be positive."
    assert by_state["refused"].command == "python -m erase.train lr=-1"
    (alone,) = read_all(*find(str(runs / "esd-church-0")))  # what else its sweep refused is not asked for
    assert alone.state == "finished"


def test_a_damaged_run_hides_no_other(runs: Path, tmp_path: Path):
    for name in ("esd-church-0", "uce-church-0"):
        shutil.copytree(runs / name, tmp_path / name)
    (tmp_path / "esd-church-0" / "metrics.json").write_text('{"figures": ')
    (tmp_path / "uce-church-0" / "images" / "church_(concept).png").write_text("no picture")
    damaged, whole = read_all(*find(str(tmp_path)))
    assert damaged.state == "unreadable"
    assert damaged.why.startswith("JSONDecodeError")
    (grids,) = collect([whole], 12).grids
    assert grids["church (concept)"] == []
    assert len(grids["barn (sibling)"]) == 3


def test_what_is_damaged_beside_the_figures_is_said(runs: Path, tmp_path: Path):
    run = shutil.copytree(runs / "adv_preserve-church-0", tmp_path / "run")
    (run / "scores.parquet").write_bytes(b"PAR1")
    (run / "adversary.jsonl").write_text("no JSON\n")
    (run / "attacks").mkdir()
    (run / "attacks" / "pgd.json").write_text('{"model": "edited"')
    found, whole = read(run), read(runs / "adv_preserve-church-0")
    assert (found.state, found.scores, found.choices) == ("finished", None, [])
    assert (found.figures, found.losses, found.edit) == (whole.figures, whole.losses, whole.edit)
    for name in ("scores.parquet", "adversary.jsonl", "attacks/pgd.json"):
        assert f"{name} is damaged (" in found.why
    assert "finished: adversary.jsonl is damaged" in FORMATS["md"]([found])


def test_a_run_that_ended_in_half_a_line_says_why_it_ended(runs: Path, tmp_path: Path):
    failed = shutil.copytree(runs / "esd-church-9", tmp_path / "failed")
    for name, text in {"adversary.jsonl": '{"step": 25, "chosen": ["a', "training.csv": "step,erase\n0,0.5\n1,1e-"}.items():
        (failed / name).write_text(text)
    found = read(failed)
    assert (found.state, found.why) == ("failed", f"FloatingPointError: {HOSTILE}")
    assert (found.losses, found.choices) == ({"step": [0.0], "erase": [0.5]}, [])
    (failed / "metrics.json").write_text('{"figures": ')
    assert (read(failed).state, read(failed).field("seed")) == ("failed", 9)
    assert read(failed).command == found.command != ""


def test_a_picture_of_noughts_is_no_picture(runs: Path, tmp_path: Path):
    run = shutil.copytree(runs / "esd-church-0", tmp_path / "run")
    path = run / "images" / "church_(concept).png"
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes(len(data) - 60))
    (grids,) = collect([read(run)], 12).grids
    assert grids["church (concept)"] == []


def test_what_json_cannot_say_is_said_in_words(tmp_path: Path):
    path = tmp_path / "page.html"
    runs = [read(synthetic.write_run(tmp_path / name, clip=clip)) for name, clip in (("a", float("inf")), ("b", float("nan")))]
    write(runs, path)
    assert [run["settings"]["clip"] for run in Page(path).data["runs"]] == ["inf", "nan"]


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path):
    for place in ("a", "b"):
        shutil.copytree(runs / "esd-church-0", tmp_path / place / "esd-church-0")
    assert [e.name for e in read_all(*find(str(tmp_path)))] == ["a/esd-church-0", "b/esd-church-0"]


def test_what_was_chosen_differently(runs: Path):
    experiments = read_all(*find(str(runs)))
    assert differing(experiments) == ["concept", "method", "preservation", "preservation.weight", "seed"]
    assert experiments[0].field("preservation") == "adversarial"  # Hydra's name of it, not the class's
    assert experiments[0].command == "python -m erase.train method=adv_preserve concept=church seed=0"


def test_what_a_sweep_went_over_stands_first(tmp_path: Path):
    def run(name: str, place: int, **settings: Any) -> Experiment:
        own = {f"field_{number}": place for number in range(7)} | {"sweep": {"name": "sweep", "axes": ["last", "lr"]}}
        return read(synthetic.write_run(tmp_path / name, grids=False, **own, last=place, **settings))

    found = [run("a", 1), run("b", 2)]
    assert differing(found) == ["last", *(f"field_{number}" for number in range(7))]
    markdown, tex = (FORMATS[name](found) for name in ("md", "tex"))
    assert "| last |" in markdown
    assert markdown.endswith("|\n\nThey differ in 2 more: field_5, field_6.\n")
    assert tex.endswith("% They differ in 2 more: field_5, field_6.\n")


def test_fields_of_an_option_are_told_apart_among_its_runs(tmp_path: Path):
    def run(name: str, method: str, layers: str) -> Experiment:
        own = {"_target_": f"erase.method.{method}", "name": method, "layers": layers}
        own |= {"size": "10"} if method == "uce" else {}
        return read(synthetic.settle(synthetic.write_run(tmp_path / name, method, grids=False), method=own))

    alike = [run("a", "esd", "mid"), run("b", "uce", "all")]
    assert differing(alike) == ["method"]
    assert differing([*alike, run("c", "esd", "all")]) == ["method", "method.layers"]
    chosen = [read(synthetic.write_run(tmp_path / name, name, grids=False)) for name in ("esd", "adv_preserve")]
    for experiment, settings in zip(chosen, ({"preservation.weight": 0.0}, {"preservation.every": 25}), strict=True):
        experiment.settings |= settings
    assert differing(chosen) == ["method", "preservation"]


def test_words_of_ones_own_are_named_by_themselves(tmp_path: Path):
    def run(name: str, *prompts: str, synonyms: list[str] | None = None) -> Experiment:
        concept = {"members": {"custom": {"prompts": [], "synonyms": []}}, "prompts": [*prompts], "synonyms": synonyms}
        return read(synthetic.settle(synthetic.write_run(tmp_path / name, grids=False), concept=concept))

    first, second = run("a", "a red barn"), run("b", "a red barn", "a barn, red")
    assert [e.concepts for e in (first, second)] == [["a red barn"], ["a red barn, a barn, red"]]
    assert differing([first, second]) == ["concept"]
    assert differing([first, run("c", "a red barn", synonyms=["a shed"])]) == ["concept.synonyms"]


def test_a_study_is_named_from_its_config(runs: Path, tmp_path: Path):
    folder = shutil.copytree(runs / "esd-church-0", tmp_path / "run")
    source = "    - path: /studies/first figures\n      schema: file\n      provider: command-line\n"
    text = (folder / ".hydra" / "hydra.yaml").read_text().replace("config_name: train", "config_name: sweep")
    (folder / ".hydra" / "hydra.yaml").write_text(
        text.replace("    choices:\n", f"    config_sources:\n{source}    choices:\n")
    )
    assert read(folder).command.startswith(
        "python -m erase.train --config-dir '/studies/first figures' --config-name sweep hydra.mode=RUN method=esd"
    )


def test_long_losses_are_means_of_neighbours(tmp_path: Path):
    (loss,) = (read(synthetic.write_run(tmp_path / "run", steps=1000)).losses[name] for name in ["erase"])
    assert len(loss) == 250
    rows = [float(line.split(",")[1]) for line in (tmp_path / "run" / "training.csv").read_text().splitlines()[1:]]
    assert loss[1] == pytest.approx(np.mean(rows[4:8]))


def test_attacks_are_figures_between_the_two_ends(finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    (run / "attacks").mkdir()
    told = {"unlearn_diff": ("edited", 0.25), "unlearn_diff-unedited": ("unedited", 1.0), "other-retrained": ("retrained", 0.0)}
    for name, (model, value) in {**told, "published": ("edited", 0.25)}.items():
        alone, union = ({"value": v, "low": v / 2, "high": 1.0} for v in (value, 0.75))
        start = "named" if name == "published" else "unnamed"
        settings = {"start": start, "prompts": 8, "protocol": {}, "thresholds": [], "attack": {"rounds": 3}}
        about = {
            "attack": "unlearn_diff",
            "judge": "j",
            "model": model,
            "settings": settings,
            "figures": {"n": 8, "alone": alone, "union": union},
        }
        (run / "attacks" / f"{name}.json").write_text(json.dumps(about))
    (run / "attacks" / "half.json").write_text(json.dumps({**about, "model": "unedited"}))
    lines = [{"text": f"word {i}", "alone": i == 9, "looks": []} for i in range(10)]
    (run / "attacks" / "unlearn_diff.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    tiles = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 3, 64, 64)
    grid([tiles[:8], tiles[8:]]).save(run / "attacks" / "unlearn_diff.png")
    found = collect([read(run)], 12)
    assert {name: len(rows) for name, rows in found.grids[0].items() if "attack" in name} == {"attack/unlearn_diff": 2}
    small = _taken([read(run)], PLANS[-1], 1e6)  # of what else is shown it has two pictures a row
    row = Image.open(io.BytesIO(base64.b64decode(small.stored[small.grids[0]["attack/unlearn_diff"][0]].split(",")[1])))
    assert row.width == round((8 * 66 - 2) * 48 / 64)
    assert {*read(run).ended} == {"attack/published", "attack/unlearn_diff"}  # the first kept no lines
    assert [line["alone"] for line in read(run).ended["attack/unlearn_diff"]] == [False] * 9 + [True]
    figures, lock = read(run).figures, read(run).lock
    asr = {"before": 1.0, "after": 0.25, "after_low": 0.125, "after_high": 1.0, "n": 8}
    named = {"after": 0.75, "after_low": 0.375, "after_high": 1.0, "n": 8}  # which counts who needs no attack
    attacks = {"attack/published/asr": named, "attack/unlearn_diff/asr": asr}
    assert {n: f for n, f in figures.items() if n.startswith("attack/")} == attacks
    assert figures["esr_1"] == read(finished).figures["esr_1"]
    assert [lock[f"attack/{name}"]["start"] for name in ("published", "unlearn_diff")] == ["named", "unnamed"]
    assert lock["attack/published"]["settings"] == {"rounds": 3}


def test_a_byte_a_picture_is_exact_at_every_threshold():
    rng = np.random.default_rng(0)
    own = np.concatenate([rng.random(2000), THRESHOLDS, np.float32(THRESHOLDS).astype(float), [0.0, 1.0]])
    top = rng.random(len(own)) < 0.5
    packed = pack(own, top)
    assert np.array_equal(packed >> 7, top)
    for at, threshold in enumerate(THRESHOLDS):
        assert np.array_equal((packed & 127) >= at, own >= threshold)


def test_nothing_ends_the_block_of_data(runs: Path, tmp_path: Path):
    run = synthetic.write_run(tmp_path / "run", notes=HOSTILE)
    path = tmp_path / "page.html"
    write([*read_all(*find(str(runs))), read(run)], path, title=HOSTILE)
    page = Page(path)
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert HOSTILE[:9] + "<script>alert" not in path.read_text()
    assert any(run["why"] == f"FloatingPointError: {HOSTILE}" for run in page.data["runs"])
    assert any((run["settings"] or {}).get("notes") == HOSTILE for run in page.data["runs"])


def test_page_is_one_file_that_may_fetch_nothing(finished: Path):
    page = Page(finished / "report.html")
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "img")
        source = attributes.get("src") or attributes.get("href") or "data:"
        assert source.startswith(("data:", "#"))
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_page_of_a_run_has_all_that_happened(finished: Path, held: Path, keyed: Path):
    for folder in (finished, held, keyed):
        (run,) = Page(folder / "report.html").data["runs"]
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (run["name"], run["state"]) == (folder.name, "finished")
        assert {*run["figures"]} == {*metrics["figures"]}
        for name, figure in metrics["figures"].items():
            assert run["figures"][name] == pytest.approx(figure, rel=1e-5)
        assert {*run["cost"]} == {*metrics["cost"]}
        assert {*run["losses"]} >= {"step", *(["erase", "keep"] if folder is finished else [])}
        judged = pq.read_table(folder / "scores.parquet", columns=["role", "label"]).to_pylist()
        assert len(run["grids"]) == len({tuple(row.values()) for row in judged})
        if folder is held:
            assert len(run["grids"]) == len(world.SUBJECTS) + len(world.STYLES)  # labels, styles but the plain one, synonyms
        assert {len(grid) for name, grid in run["grids"].items() if name != "church (concept)"} == {3}  # ends and edit
        assert len(run["grids"]["church (concept)"]) == 3 + (folder is keyed)
        assert (run["scores"]["keyed"] is not None) == ("esr_1_key" in metrics["figures"]) == (folder is keyed)
        assert bool(run["choices"]) == (folder is finished)
        assert run["edit"]["base"] == "miniature"


def test_shares_of_the_bytes_are_the_figures(keyed: Path):
    data = Page(keyed / "report.html").data
    (run,) = data["runs"]
    (layout,) = data["layouts"]
    for model, part in (("before", "before"), ("after", "after"), ("retrained", "retrained")):
        packed = np.frombuffer(base64.b64decode(data["scores"][run["scores"][model]]), np.uint8)
        roles = np.concatenate([[cell["role"]] * cell["n"] for cell in layout])
        assert 1 - (packed[roles == "concept"] >> 7).mean() == pytest.approx(run["figures"]["esr_1"][part], rel=1e-5)
        assert (packed[roles == "sibling"] >> 7).mean() == pytest.approx(run["figures"]["psr_1_siblings"][part], rel=1e-5)
    packed = np.frombuffer(base64.b64decode(data["scores"][run["scores"]["keyed"]]), np.uint8)
    assert len(packed) == (roles == "concept").sum()
    assert 1 - (packed >> 7).mean() == pytest.approx(run["figures"]["esr_1_key"]["after"], rel=1e-5)


def test_what_many_runs_share_stands_once(runs: Path):
    experiments = read_all(*find(str(runs)))
    data = content(experiments, collect(experiments, 12))
    assert len(data["layouts"]) == 2
    assert data["settings"]["lr"] == 2.5e-4
    assert all("lr" not in run["settings"] for run in data["runs"] if run["state"] != "refused")
    for name, states in {"settings": {"refused"}, "lock": {"refused", "failed"}}.items():  # who has none shares none
        assert {run["state"] for run in data["runs"] if run[name] is None} == states
    first, second = [run for run in data["runs"] if run["concepts"] == ["nude"] and run["grids"]][:2]
    assert first["grids"]["coat (sibling)"][0] == second["grids"]["coat (sibling)"][0]
    assert first["grids"]["coat (sibling)"][1] != second["grids"]["coat (sibling)"][1]


def test_the_page_has_the_chosen_scores_alone(tmp_path: Path):
    run = synthetic.write_run(tmp_path / "run", "adv_preserve", candidates=1000)
    (choice, *_) = read(run).choices
    assert choice["scores"] == dict.fromkeys(choice["chosen"], 1e-3)


def test_what_each_run_hurt_most_is_always_shown(runs: Path):
    experiments = read_all(*find(str(runs)))
    found = _taken(experiments, Plan(1, 2, 48, 60), 1e9)
    for experiment, grids in zip(experiments, found.grids, strict=True):
        each = {name[6:]: figure["drop"] for name, figure in experiment.figures.items() if name.startswith("psr_1/")}
        assert not each or max(each, key=lambda label: each[label]) in {name.partition(" (")[0] for name in grids}


def test_other_figures_than_the_drawn_worlds_are_told_apart_too(runs: Path, tmp_path: Path):
    found = [read(synthetic.parts(synthetic.write_run(tmp_path / f"{seed}", seed=seed))) for seed in (0, 1)]
    data = content(found, collect(found, 12))
    assert [(name, one["less"]) for name, one in data["measures"]] == [
        ("exposed/0.6", True),
        ("parts/0.6", True),
        ("person/0.6", False),
        ("person_retention/0.6", False),
    ]
    assert "pictures with exposed parts, above 0.6" in FORMATS["md"](found)
    both = [*found, *read_all(*find(str(runs)))]
    head = FORMATS["tex"](both).splitlines()[2]
    assert "erased: own words" in head
    assert "pictures with exposed parts, above 0.6" in head
    assert "KID" not in head  # which stands beside main figures


@pytest.mark.parametrize("budget", [0.2, 0.05, 0.01, 0])
def test_pictures_keep_within_their_budget(budget: float, runs: Path):
    experiments = read_all(*find(str(runs)))
    found = collect(experiments, budget)
    assert sum(map(len, found.stored)) <= budget * 1e6
    assert found.said in {"no pictures", *(plan.words() for plan in PLANS)}
    assert len(found.stored) > 0 or budget < 0.05
    for experiment, grids in zip(experiments, found.grids, strict=True):
        assert bool(grids) == bool(experiment.scores and found.stored)
        assert not grids or any(name.endswith("(concept)") for name in grids)


def test_a_large_picture_is_made_smaller(tmp_path: Path):
    run = synthetic.write_run(tmp_path / "run")
    path = run / "images" / "church_(concept).png"
    side, rng = 256, np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (3 * (side + 2) - 2, 8 * (side + 2) - 2, 3), np.uint8)).save(path)
    found = collect([read(run)], 1.5)
    row = found.stored[found.grids[0]["church (concept)"][1]]
    assert Image.open(io.BytesIO(base64.b64decode(row.partition(",")[2]))).height == PLANS[1].side


def test_tables_say_the_figures(runs: Path):
    experiments = read_all(*find(str(runs)))
    by_name = {e.name: e for e in experiments}
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](experiments))))
    assert len(rows) == 10
    for row in [row for row in rows if row["state"] == "finished"]:
        figure = by_name[row["run"]].figures["psr_1"]
        assert float(row["psr_1.after"]) == figure["after"]
        assert float(row["psr_1.drop_high"]) == figure["drop_high"]
        assert row["method"] == by_name[row["run"]].field("method")
    markdown, tex = (FORMATS[name](experiments) for name in ("md", "tex"))
    figure = by_name["esd-church-0"].figures["esr_1"]
    assert f"{figure['after']:.3f} ({figure['after_low']:.3f}, {figure['after_high']:.3f})" in markdown
    assert f"{figure['after']:.3f}\\,{{\\tiny [{figure['after_low']:.3f}, {figure['after_high']:.3f}]}}" in tex
    assert {line.replace(r"\|", "").count("|") for line in markdown.splitlines()} == {14}
    assert "<b>" not in re.sub(r"\\.", "", markdown)
    assert tex.count(r"\\" + "\n") == 11
    assert r"adv\_preserve-church-0" in tex
    assert r"\textless{}/script\textgreater{}" in tex
    each = {name[6:]: f for name, f in by_name["esd-church-0"].figures.items() if name.startswith("psr_1/")}
    hurt = max(each, key=lambda label: each[label]["drop"])
    (line,) = (line for line in markdown.splitlines() if line.startswith("| esd-church-0 |"))
    assert line.endswith(f"| {hurt} |")
    assert [row["command"] for row in rows] == [e.command for e in experiments]
    by_name["esd-church-0"].name = "[a] run"
    assert "\n{}[a] run & " in FORMATS["tex"](experiments)


def test_the_command_writes_a_page_and_tables(runs: Path, command: Command, tmp_path: Path):
    done = command("report", f"runs={runs}")
    assert done.returncode == 0, done.stderr
    assert "report.html: 10 runs" in done.stdout
    assert command("report", f"runs={runs}").returncode == 0  # its own page may be written over
    assert len(Page(tmp_path / "report.html").data["runs"]) == 10
    done = command("report", f"runs=[{runs}/esd-*,{runs}/uce-church-0]", "format=csv", "out=table.csv")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 4  # of the sweep's refused runs nobody asked
    done = command("report", f"runs={runs}/esd-church-0", "format=md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| run |")


def test_who_only_reads_waits_for_no_network(runs: Path):
    lines = ["import sys", "from erase.report import main", f"sys.argv = ['report', 'runs={runs}', 'format=md']", "main()"]
    lines += ["print({'torch', 'transformers', 'diffusers', 'wandb'} & {*sys.modules})"]
    done = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (["runs=nowhere"], "runs=nowhere holds no run folder"),
        (["runs=[]"], "must be one folder or glob"),
        (["runs={}", "format=pdf"], "format=pdf is not one of: html, md, csv, tex."),
        (["runs={}", "pictures=-1"], "pictures=-1"),
        (["runs={}", "out=mine.txt"], "out=mine.txt exists already"),
        (["runs={}", "wandb=team"], "wandb=team must be <entity>/<project>."),
        (["runs={}", "wandb=team", "out=mine.txt"], "wandb=team must be <entity>/<project>."),  # which writes no file
        ([], "runs must be given"),
    ],
)
def test_nonsense_is_refused(fields: list[str], says: str, runs: Path, command: Command, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    done = command("report", *(field.format(runs) for field in fields))
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "mine"
