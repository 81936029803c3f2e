"""The page in a real browser, as its readers use it: mouse, keyboard, phone, dark, a screen reader's rules, no network."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic
import torch
from conftest import ROOT, installed
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from erase.metric import PairedDrop, Share
from erase.record.page.read import Experiment, find, read_all
from erase.record.page.write import write
from erase.record.pictures import grid

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
REFUSED = "https://refused.example"
HOSTILE = '</script><script>window.hurt = 1</script><img src=x onerror=\'window.hurt = 1\'>, "a", "b c"'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve runs: one lacks a picture, one has an attack, one a key. One more failed with a hostile reason; all have a hostile
    setting."""
    place = tmp_path_factory.mktemp("runs")
    synthetic.write_runs(place, 11, notes=HOSTILE)
    synthetic.write_run(place / "uce-church-1", "uce", seed=1, images=16, keyed=True, notes=HOSTILE)
    synthetic.write_run(place / "esd-church-9", seed=9, state="failed", why=HOSTILE, notes=HOSTILE)
    (place / "esd-church-0" / "images" / "barn_(sibling).png").unlink()
    path = place / "uce-church-0" / "metrics.json"
    metrics = json.loads(path.read_text())
    attack = {"before": 1.0, "after": 0.4, "after_low": 0.3, "after_high": 0.5, "drop": 0.6, "retrained": 0.1, "n": 64}
    path.write_text(json.dumps(metrics | {"figures": metrics["figures"] | {"attack/paraphrase/asr": attack}}))
    return place


@pytest.fixture(scope="module")
def page_of_all(runs: Path) -> str:
    write(read_all(*find(str(runs))), runs / "report.html")
    return (runs / "report.html").as_uri()


@pytest.fixture(scope="module")
def page_of_one(runs: Path) -> str:
    write(read_all(*find(str(runs / "adv_preserve-church-0"))), runs / "one.html")
    return (runs / "one.html").as_uri()


MARKED = "<b>bold<b> <a href='javascript:window.hurt=1'>&lt;i&gt;"
"""A name in the few tags that plots read."""

Told = dict[str, Any]


def otherwise(folder: Path, row: Callable[[Told], Told], figures: Callable[[Told], Told]) -> None:
    """Have a run tell its scores and figures otherwise."""
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist(list(map(row, rows))), folder / "scores.parquet")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"figures": figures(metrics["figures"])}))


@pytest.fixture(scope="module")
def page_of_others(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs in which everything has a name of tags; one whose concept nobody has a label for, one judged by parts, one by a
    list of artists."""
    place = tmp_path_factory.mktemp("others")
    attack = {"after": 0.4, "after_low": 0.3, "after_high": 0.5, "before": 1.0, "n": 64}
    for seed in (0, 1):
        run = synthetic.settle(synthetic.write_run(place / f"{MARKED}{seed}", seed=seed), concept={"members": {MARKED: {}}})
        otherwise(
            run,
            lambda row: row | {part: MARKED for part in ("label", "top") if row[part] == "barn"},
            lambda figures: {n.replace("barn", MARKED): f for n, f in figures.items()} | {f"attack/{MARKED}/asr": attack},
        )
    headless = synthetic.write_run(place / "headless")
    parts = synthetic.write_run(place / "parts", protocol={"_target_": "erase.protocol.i2p.I2P"})
    for run, head in ((headless, ""), (parts, "parts")):
        nobodys = {"head": head, "label": "" if head else "church", "top": "", "probability": float("nan")}
        otherwise(
            run,
            lambda row, nobodys=nobodys: row | (nobodys if row["role"] in ("concept", "synonyms") else {}),  # type: ignore[misc]
            lambda figures: {n: f for n, f in figures.items() if not n.startswith("esr_1")},
        )
    synthetic.write_run(place / "artists", protocol={"_target_": "erase.protocol.artists.Artists"})
    write(read_all(*find(str(place))), place / "report.html")
    return (place / "report.html").as_uri()


@pytest.fixture(scope="module")
def page_of_parts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three runs judged by parts, attacked in two ways, the last with losses of its own; and one that its sweep refused."""
    place = tmp_path_factory.mktemp("parts")
    for seed in range(3):
        run = synthetic.parts(synthetic.write_run(place / f"esd-nude-{seed}", concept="nude", seed=seed, clip=0.5))
        (run / "attacks").mkdir()
        settings = {"start": "unnamed" if seed else "named", "prompts": 8, "protocol": {}, "thresholds": [], "attack": {}}
        shares = {name: {"value": share, "low": 0.1, "high": 0.9} for name, share in (("alone", 0.25), ("union", 0.75))}
        about = {"attack": "pgd", "judge": "j", "model": "edited", "settings": settings, "figures": {"n": 8, **shares}}
        (run / "attacks" / "a=1.json").write_text(json.dumps(about))
        ended = [{"text": f"a word {i}", "alone": i == 3} for i in range(8)]
        (run / "attacks" / "a=1.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in ended))
        grid([torch.full((8, 3, 16, 16), 90, dtype=torch.uint8)]).save(run / "attacks" / "a=1.png")
    (run / "training.csv").write_text("step,keep,more\n0,0.5,nan\n1,0.25,nan\n")
    refused = {"runs": {"lr=-1": {"outcome": "refused", "why": "lr=-1 must be positive.", "overrides": ["lr=-1"]}}}
    (place / "summary.json").write_text(json.dumps(refused))
    write(read_all(*find(str(place))), place / "report.html")
    return (place / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium-browser") or installed("chromium")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def windows(browser: Any) -> Iterator[dict[Any, Any]]:
    """Windows that are open already, and what was asked and went wrong in any: a page takes a second to load, a view none."""
    found: dict[Any, Any] = {"asked": [], "wrong": []}
    yield found
    for context in browser.contexts:
        context.close()


@pytest.fixture
def visit(browser: Any, windows: dict[Any, Any]) -> Iterator[Any]:
    """Go to an address of a page, in a fresh window if need be; then nothing was asked of a network, nothing hostile ran, no
    error was met."""
    asked, wrong = windows["asked"], windows["wrong"]

    def visit(address: str, width: int = 1280, scheme: str = "light", fresh: bool = False) -> Any:
        file, _, view = address.partition("#")
        if fresh or (page := windows.get((file, width, scheme))) is None:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
            page = windows[file, width, scheme] = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda s: wrong.append(s.text) if s.type == "error" and REFUSED not in s.text else None)
            page.goto(address)
        else:
            page.goto(f"{file}#{view}")  # a place in the same document: the page goes to that view
        page.wait_for_selector(".plot .main-svg", timeout=60_000)
        return page

    yield visit
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []
    for key, page in windows.items():
        assert key in ("asked", "wrong") or page.evaluate("window.hurt") is None


def until(page: Any, condition: str) -> None:
    """Wait until an expression holds; Playwright's own way asks the page to eval it, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within half a minute: {condition}")


def column(page: Any, words: str) -> list[str]:
    """What the table of experiments says under the head `words`, without small print."""
    heads = page.locator("#runs thead th").all_inner_texts()
    at = next(i for i, head in enumerate(heads) if words in " ".join(head.split()))
    script = "(rows, at) => rows.map((row) => row.children[at].firstChild?.textContent ?? '')"
    return page.locator("#runs tbody tr").evaluate_all(script, at)


def names(page: Any) -> list[str]:
    return page.locator("#runs tbody th a").all_inner_texts()


def test_sorting(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    assert "They were not all judged alike: see images" in page.locator("#lead").inner_text()
    values = [float(v) for v in column(page, "erased: own words") if v]
    assert values == sorted(values, reverse=True)
    assert column(page, "erased: own words")[-1] == ""  # the failed run stands last, however it is sorted
    head = page.locator("[data-sort=psr_1_siblings]")
    for order, down in (("descending", True), ("ascending", False)):
        head.click()
        values = [float(v) for v in column(page, "kept: siblings") if v]
        assert values == sorted(values, reverse=down)
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == order
        assert head.evaluate("(button) => button === document.activeElement")
    page.locator("[data-sort=damage]").click()  # where less is better, the least comes first
    values = [float(v.replace("−", "-")) for v in column(page, "damage") if v]
    assert values == sorted(values)
    page.locator("[data-sort=concept]").click()  # equal ones by what they kept, of the siblings first
    alike: dict[str, list[float]] = {}
    for concept, siblings in zip(column(page, "concept"), column(page, "kept: siblings"), strict=True):
        alike.setdefault(concept, []).append(float(siblings or -1))
    assert max(map(len, alike.values())) > 2
    assert [*alike.values()] == [sorted(values, reverse=True) for values in alike.values()]


def test_rows_beyond_a_screen_follow_the_frame(visit: Any, tmp_path: Path):
    synthetic.write_runs(tmp_path / "runs", 70, images=1, kept=1)
    write(read_all(*find(str(tmp_path / "runs"))), tmp_path / "report.html")
    page, whole = visit((tmp_path / "report.html").as_uri()), "document.querySelectorAll('#runs tbody tr').length === 70"
    until(page, whole)
    shown = page.evaluate("""() => new Promise((done) => {
      requestAnimationFrame(() => setTimeout(() => done(document.querySelectorAll('#runs tbody tr').length)));
      document.querySelector('[data-sort=run]').click();
      change_view({ y: 'psr_1' }); // what touches other parts of the page loses no row
    })""")
    assert shown < 70
    until(page, whole)
    assert names(page) == sorted(names(page), key=lambda name: (name.split("-")[:2], int(name.split("-")[2])))
    assert len({*names(page)}) == 70
    last = page.locator("#runs tbody tr").last
    last.scroll_into_view_if_needed()
    last.locator("input").click()  # who has scrolled stays where they were, with all rows at once
    assert len(names(page)) == 70
    assert last.locator("input").is_checked()
    assert page.evaluate("document.querySelector('#table .scroll').scrollTop") > 0


def test_filtering(visit: Any, page_of_all: str, runs: Path):
    page = visit(page_of_all)
    assert len(names(page)) == 13
    box = page.locator("#filter")
    experiments = {e.name: e for e in read_all(*find(str(runs)))}
    for text, right in {
        "method=esd": lambda e: e.field("method") == "esd",
        "method!=esd concept=nude": lambda e: e.field("method") != "esd" and e.concepts == ["nude"],
        "seed=0,9 state=failed": lambda e: e.state == "failed",
        "esr_1>0.9": lambda e: e.figures and e.figures["esr_1"]["after"] > 0.9,
        "esr_1 > 0.9 seed = 0": lambda e: e.figures and e.figures["esr_1"]["after"] > 0.9 and e.field("seed") == 0,
        "damage<0.2": lambda e: e.figures and damage(e) < 0.2,
        "psr_1.drop<=0.1": lambda e: e.figures and e.figures["psr_1"]["drop"] <= 0.1,
        "psr_1.drop_high<0.1": lambda e: e.figures and e.figures["psr_1"]["drop_high"] < 0.1,
        '"psr_1/golf ball">0.9': lambda e: e.figures and e.figures["psr_1/golf ball"]["after"] > 0.9,
        "notes<10": lambda e: False,  # a text is no number
        "weight>=0.5": lambda e: e.settings["preservation.weight"] >= 0.5,
        "uce church": lambda e: e.name.startswith("uce-church"),
        "nothing=1": lambda e: False,
    }.items():
        box.fill(text)
        assert {*names(page)} == {name for name, e in experiments.items() if right(e)}, text
        assert page.locator("#shown").inner_text().startswith(f"{len(names(page))} of 13 runs.")
        assert ("No run has a field nothing." in page.locator("#shown").inner_text()) == (text == "nothing=1")
    page.locator("#clear").click()
    page.select_option("#filter-field", "concept")
    page.select_option("#filter-value", "church")
    assert box.input_value() == "concept=church"
    assert all("church" in name for name in names(page))
    assert "church" in page.locator("#run h2").inner_text()
    page.locator("#clear").click()
    page.select_option("#filter-field", "notes")
    page.select_option("#filter-value", HOSTILE)  # whose commas and quotes are its own
    assert len(names(page)) == 13


def test_what_is_no_number_is_less_than_none(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    for nothing in ("null", "''", "'  '", "[]", "false", "true", "'ten'"):
        assert page.evaluate(f"fulfils({nothing}, '<', '10') || fulfils({nothing}, '>=', '0')") is False
    assert page.evaluate("fulfils('9', '<', '10') && fulfils(9, '<=', '9')")


def test_other_figures_than_the_drawn_worlds_are_reviewed_too(visit: Any, page_of_parts: str):
    page = visit(page_of_parts)
    shares = [float(value) for value in column(page, "pictures with exposed parts, above 0.6") if value]
    assert len(shares) == 3
    assert shares == sorted(shares)  # less is better, and it is what they are sorted by at first
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert (page.locator("#trade-x").input_value(), page.locator("#trade-y").input_value()) == ("exposed/0.6", "person/0.6")
    assert page.locator("#trade-table tbody a").count() > 0
    page.locator("#filter").fill("person/0.6>=0 attack/a=1/asr<0.5")
    assert {*names(page)} == {"esd-nude-1", "esd-nude-2"}
    page.locator("#clear").click()
    page.locator("#run summary", has_text="each label of the judge").click()
    assert "BELLY_EXPOSED/0.6" in page.locator("#run").inner_text()
    text = page.locator("#run .scroll[aria-label='main figures']").inner_text()
    assert "of the unedited model's anybody, above 0.6" in text
    assert "KID" not in text


def test_a_run_that_never_began_has_no_settings(visit: Any, page_of_parts: str):
    page = visit(f"{page_of_parts}#columns=seed&run=lr=-1")
    shown = dict(zip(names(page), column(page, "seed"), strict=True))
    assert shown == {**{f"esd-nude-{seed}": str(seed) for seed in range(3)}, "lr=-1": ""}
    assert "lr=-1 must be positive." in page.locator("#run").inner_text()
    assert page.locator("#run summary").all_inner_texts() == ["where it lies and what was erased"]
    page.locator("#filter").fill("clip=0.5")
    assert len(names(page)) == 3


def test_attacks_that_were_asked_differently_are_told_apart(visit: Any, page_of_parts: str):
    page = visit(f"{page_of_parts}#run=esd-nude-0")
    assert "They were not all judged alike: see attack/a=1 under" in page.locator("#lead").inner_text()
    assert "Share of prompts that show the concept as they are, without any attack" in page.locator("#run").inner_text()
    assert "the concept's own words" in page.locator("#run .scroll[aria-label='attacks']").inner_text()
    page = visit(f"{page_of_parts}#run=esd-nude-1")
    assert "from which an attack by itself brings the concept back" in page.locator("#run").inner_text()
    shown = page.locator("#run figure", has_text="a=1")
    assert "1 of 8 prompts" in shown.inner_text()
    assert shown.locator("img").evaluate_all("found => found.map((image) => image.naturalWidth)") == [8 * 18 - 2]
    shown.locator("summary").click()
    assert shown.locator("li strong").all_inner_texts() == ["a word 3"]


def test_two_runs_that_were_judged_differently(visit: Any, tmp_path: Path):
    for seed in (0, 1):
        synthetic.write_run(tmp_path / f"esd-{seed}", seed=seed, images=8 + seed)
    metrics = json.loads((tmp_path / "esd-1" / "metrics.json").read_text())
    lock = metrics["lock"] | {"judge": "another"}
    (tmp_path / "esd-1" / "metrics.json").write_text(json.dumps(metrics | {"lock": lock}))
    write(read_all(*find(str(tmp_path))), tmp_path / "report.html")
    page = visit(f"{(tmp_path / 'report.html').as_uri()}#pair=esd-0,esd-1")
    pair = page.locator("#pair")
    unlike = {row[0]: row[1:] for row in pair.locator("table").first.locator("tr").evaluate_all(CELLS)}
    assert (unlike["judged: images"], unlike["judged: judge"]) == (["8", "9"], ["j" * 64, "another"])
    assert "No interval of a difference: that takes the same pictures, the same judge" in pair.inner_text()
    rows = pair.locator("#pair-figures table").first.locator("tbody tr").evaluate_all(CELLS)
    assert {row[6] for row in rows} == {""}


def test_runs_of_several_seeds_are_one_row(visit: Any, page_of_all: str, tmp_path: Path):
    assert visit(page_of_all).locator("#seeds").is_hidden()  # there a weight goes with the seed
    for seed in range(3):
        later = {"sharpness": {"name": "none"}} if seed else {}  # a field that came with a later version
        synthetic.write_run(tmp_path / f"esd-{seed}", seed=seed, preservation={"weight": 0.5}, **later)
    synthetic.write_run(tmp_path / "esd-9", seed=9, preservation={"weight": 0.5}, lr=1.0)
    write(read_all(*find(str(tmp_path))), tmp_path / "report.html")
    own = [e.figures["esr_1"]["after"] for e in read_all(*find(str(tmp_path))) if e.field("seed") < 9]
    table = visit((tmp_path / "report.html").as_uri()).locator("#seeds table")
    at = [" ".join(head.split()) for head in table.locator("thead th").all_inner_texts()].index("erased: own words")
    rows = {row[1]: row for row in table.locator("tbody tr").evaluate_all(CELLS)}
    assert {*rows} == {"1", "3"}
    assert rows["3"][at] == f"{np.mean(own):.3f}{min(own):.3f} – {max(own):.3f}"
    assert rows["1"][-1] == "esd-9"


def test_labels_that_no_run_surely_hurt_stand_last(visit: Any, page_of_all: str, runs: Path):
    finished = [e for e in read_all(*find(str(runs))) if e.figures]
    rows = visit(page_of_all).locator("#damage .scroll").first.locator("tbody tr").evaluate_all(CELLS)
    hurt = [int(row[2].split(" of ")[0]) > 0 for row in rows]
    assert hurt == sorted(hurt, reverse=True)
    assert 0 < sum(hurt) < len(hurt)
    assert {row[3] for row in rows} == {"4"}
    for row in rows:
        drops = {e.name: e.figures[f"psr_1/{row[0]}"]["drop"] for e in finished if f"psr_1/{row[0]}" in e.figures}
        assert row[5] == (max(drops, key=lambda name: drops[name]) if max(drops.values()) > 0 else "")


def test_a_run_that_was_cut_off_says_how_far_it_came(visit: Any, tmp_path: Path):
    folder = synthetic.write_run(tmp_path / "it's cut", state="running")
    (folder / "training.csv").write_text("step,erase\n0,0.5\n49,0.25\n")
    synthetic.write_run(tmp_path / "whole")
    write(read_all(*find(str(tmp_path))), tmp_path / "report.html")
    said = visit((tmp_path / "report.html").as_uri()).locator("#failed").inner_text()
    assert "after 50 of 150 updates; it goes on with: python -m erase.train " in said
    (words,) = re.findall("python -m erase.train (.+)", said)
    (override,) = shlex.split(words)
    assert OverridesParser.create().parse_override(override).value() == str(folder)


def test_two_runs_losses_are_told_apart(visit: Any, page_of_parts: str):
    page = visit(f"{page_of_parts}#pair=esd-nude-0,esd-nude-2")
    erase, keep, more = page.locator("#pair .small-plots p").all_inner_texts()
    assert "esd-nude-0 (solid): first" in erase
    assert "(dashed)" not in erase
    assert "(solid)" in keep
    assert "esd-nude-2 (dashed): first 0.5, highest 0.5, last 0.25" in keep
    assert more == "more · esd-nude-2 (dashed): first –, highest –, last –; not finite at times"
    dash = "[...document.querySelectorAll('#pair .plot')].map((plot) => plot.data?.map((trace) => trace.line.dash))"
    until(page, f'JSON.stringify({dash}) === \'[["solid"],["solid","dash"],["dash"]]\'')


def test_the_slider_leaves_what_it_does_not_touch(visit: Any, page_of_all: str):
    page = visit(f"{page_of_all}#run=esd-church-0&pair=esd-church-0,uce-church-0")
    page.evaluate("window.losses = [...document.querySelectorAll('.small-plots')]")
    page.locator("#run summary", has_text="configuration").click()
    page.locator("#run figure summary").nth(1).click()
    page.evaluate("change_view({ judge: 30 })")
    assert page.evaluate("losses.map((one) => one.isConnected)") == [True, True]
    assert page.locator("#run details[open]").count() == 2
    assert page.locator("#run figure").nth(1).locator("details[open]").count() == 1
    until(page, "losses[0].querySelector('.main-svg') !== null")
    page.evaluate("change_view({ run: 'uce-church-0', judge: null })")
    assert not page.evaluate("losses[0].isConnected || losses[0].querySelector('.main-svg') !== null")  # it listens no more
    page.locator("#run details[open] > summary", has_text="configuration").click()


def test_columns(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    page.locator("#column-choice summary").click()
    page.locator("[data-column=psr_1]").uncheck()
    page.locator("[data-column=seed]").check()
    heads = " ".join(page.locator("#runs thead").inner_text().split())
    assert "seed" in heads
    assert "kept: everything" not in heads


CELLS = "(rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent))"


def apart(runs: Path, role: str) -> str:
    """The interval of the change from the one run to the other, as the metrics have it."""
    hits = []
    for name in ("esd-church-0", "adv_preserve-church-0"):
        rows = [r for r in pq.read_table(runs / name / "scores.parquet").to_pylist() if r["model"] == "after"]
        hits.append(torch.tensor([(r["top"] == r["label"]) ^ (role == "concept") for r in rows if r["role"] == role]))
    drop = PairedDrop()
    drop.update(hits[1], hits[0])
    said = [f"{end:+.3f}".replace("-", "−") for end in drop.compute()[1:]]
    return " … ".join("0.000" if end[1:] == "0.000" else end for end in said)


SHOWN = {"psr_1_siblings": "kept: siblings", "psr_1": "kept: everything"}


def damage(experiment: Experiment) -> float:
    """What a run lost of the siblings or of all that was kept, whichever is more."""
    return max(experiment.figures[name]["drop"] for name in SHOWN)


def test_comparing_two(visit: Any, page_of_all: str, runs: Path):
    page = visit(page_of_all)
    for name in ("uce-church-0", "esd-church-0", "adv_preserve-church-0"):  # the third takes the place of the first
        page.locator(f"[data-pick={name}]").click()
    pair = page.locator("#pair")
    text = pair.inner_text()
    assert "What differs between them" in text
    assert "No interval of a difference" not in text
    fields = pair.locator("table").first.locator("tbody th").all_inner_texts()
    assert fields[:2] == ["method", "preservation"]
    assert {"seed", "lr"}.isdisjoint(fields)
    church = pair.locator("figure").first
    assert church.locator(".row > span:first-child").all_inner_texts() == [
        *("unedited", "esd-church-0", "adv_preserve-church-0", "retrained")
    ]
    assert church.locator("img").count() == 4
    barn = pair.locator("figure", has=page.get_by_text("barn", exact=True))
    assert "no picture" in barn.inner_text()
    rows = {row[0]: row[1:] for row in pair.locator("table").nth(1).locator("tr").evaluate_all(CELLS)}
    assert rows["erased: own words"][5] == apart(runs, "concept")
    assert rows["kept: siblings"][5] == apart(runs, "sibling")
    assert rows["kept: worst label"][5] == ""  # may be of two labels
    both = [e for e in read_all(*find(str(runs))) if e.name in ("esd-church-0", "adv_preserve-church-0")]
    more = {max(SHOWN, key=lambda name: e.figures[name]["drop"]) for e in both}  # what a run's damage is of
    (of,) = more
    low, high = rows[SHOWN[of]][5].split(" … ")
    opposite = str.maketrans("+−", "−+")
    assert rows["damage: lost of siblings or of all kept"][5].split(" … ") == [
        high.translate(opposite),
        low.translate(opposite),
    ]
    until(page, "location.hash.includes('pair=esd-church-0,adv_preserve-church-0')")
    page.goto(page.url.replace("adv_preserve-church-0", "esd-nude-0"))
    assert pair.locator("table").first.locator("tbody th").all_inner_texts()[:2] == ["concept", "name"]


@pytest.mark.parametrize("threshold", [20, 65])
def test_the_slider_makes_figures_anew(threshold: int, visit: Any, page_of_all: str, runs: Path):
    page = visit(page_of_all)
    page.evaluate(
        "(() => { window.replaced = 0; history.replaceState = (...a) => { replaced += 1; history.pushState(...a); }; })()"
    )
    slide = (
        f"(s) => [...Array(9).fill(50), {threshold}].forEach((at) => {{ s.value = at; s.dispatchEvent(new Event('input')); }})"
    )
    page.locator("#threshold").evaluate(slide)
    until(page, f"location.hash.includes('judge={threshold}')")
    assert page.evaluate("replaced") == 1  # browsers refuse a hundred in half a minute
    assert page.evaluate("MADE.judge") == threshold
    columns = [column(page, words) for words in ("erased: own words", "siblings", "with key")]
    shown = dict(zip(names(page), zip(*columns, strict=True), strict=True))
    assert shown["esd-church-0"][2] == ""
    asked = (("after", "concept", True), ("after", "sibling", False), ("keyed", "concept", True))
    for name in ("esd-church-0", "adv_preserve-nude-1", "uce-church-1"):
        rows = pq.read_table(runs / name / "scores.parquet").to_pylist()
        for at, (model, role, erased) in enumerate(asked):
            found = [r["probability"] >= threshold / 100 for r in rows if (r["model"], r["role"]) == (model, role)]
            if not found:
                continue
            seen = torch.tensor(found)
            share = Share()
            share.update(~seen if erased else seen)
            value, low, high = share.compute()
            assert float(shown[name][at]) == pytest.approx(value, abs=5.01e-4)  # a half is rounded up there, to even here
            assert f"{low:.3f} – {high:.3f}" in page.locator(f"tr[data-row={name}]").inner_text()
    page.locator("#judge-first").check()
    until(page, "!location.hash.includes('judge=')")


def test_what_the_page_has_no_scores_of_stays_as_it_was_written(visit: Any, keyed: Path):
    page = visit((keyed / "report.html").as_uri())
    written = json.loads((keyed / "metrics.json").read_text())["figures"]["psr_1_key"]["after"]
    page.evaluate("change_view({ judge: 90 })")
    assert page.evaluate("figure(RUNS[0], 'psr_1_key').after") == pytest.approx(written, abs=1e-5)
    assert page.evaluate("figure(RUNS[0], 'esr_1_key').after") is not None


def test_the_slider_is_the_evaluation_where_the_run_was_judged(visit: Any, held: Path):
    page = visit((held / "report.html").as_uri())
    made = page.evaluate("judged(RUNS[0], asked(RUNS[0]))")
    written = json.loads((held / "metrics.json").read_text())["figures"]
    assert {*made} == {n for n in written if re.match("[ep]sr_1(?!_combinations)", n)}
    for name, figure in made.items():
        assert figure == pytest.approx(written[name], abs=2e-6), name
    assert made["psr_1"]["drop_low"] < made["psr_1"]["drop"] < made["psr_1"]["drop_high"]


def test_the_slider_invents_nothing(visit: Any, page_of_others: str):
    page = visit(page_of_others)
    written = page.evaluate(
        "RUNS.map((run) => Object.keys(run.figures).map((n) => [run.name, n, measure(run, n)?.at ?? null]))"
    )
    page.locator("#threshold").evaluate("(s) => { s.value = 3; s.dispatchEvent(new Event('input')); }")
    moved = page.evaluate("RUNS.map((run) => Object.keys(run.figures).map((n) => [run.name, n, measure(run, n)?.at ?? null]))")
    for name, before, after in zip(page.evaluate("RUNS.map((run) => run.name)"), written, moved, strict=True):
        assert (before == after) == (name in ("artists", "parts")), name
    (headless,) = (
        found
        for found in page.evaluate("RUNS.filter((r) => r.again).map((r) => [r.name, judged(r, 3)])")
        if found[0] == "headless"
    )
    assert [n for n in headless[1] if n.startswith("esr")] == []
    assert "psr_1" in headless[1]
    for name in ("headless", "parts"):
        page.locator(f"#runs a[data-run={name}]").click()
        assert page.locator("#run h2").inner_text() == name
        assert page.locator("#run figcaption").first.inner_text().endswith("erased, own words")  # and no share


def test_at_the_judges_first_choice_pages_and_files_agree(visit: Any, page_of_all: str, runs: Path):
    page = visit(page_of_all)
    made = page.evaluate("RUNS.map((run) => run.scores && [run.name, judged(run, null), run.figures])")
    compared = 0
    for name, found, written in filter(None, made):
        for key, figure in found.items():
            for part in ("before", "after", "after_low", "after_high", "retrained", "drop", "n"):  # other intervals are made up
                assert figure[part] == pytest.approx(written[key][part], rel=1e-4, abs=1e-4), (name, key, part)
                compared += 1
    assert compared > 1000
    assert [name for name, figures, _ in filter(None, made) if "esr_1_key" in figures] == ["uce-church-1"]


def test_the_address_keeps_the_view(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    page.locator("#filter").fill("concept=church seed<9")
    page.locator("[data-sort=psr_1]").click()
    page.locator("[data-pick=esd-church-1]").click()
    page.locator("[data-pick=uce-church-1]").click()
    last = names(page)[-1]
    page.locator("#runs a", has_text=last).click()
    page.select_option("#trade-y", "psr_1")
    other = visit(page.url, fresh=True)
    assert names(other) == names(page)
    assert other.locator("#filter").input_value() == "concept=church seed<9"
    assert other.locator("#run h2").inner_text() == last
    assert other.locator("#trade-y").input_value() == "psr_1"
    assert "esd-church-1 and uce-church-1" in " ".join(other.locator("#pair").inner_text().split())
    page.go_back()
    page.go_back()
    until(page, f"document.querySelector('#run h2').innerText === '{names(page)[0]}'")
    assert names(page)[0] != last
    page.locator("nav a", has_text="What was hurt").click()  # a place on the page is not a view
    until(page, "location.hash.includes('filter=concept')")


def test_a_damaged_link_shows_what_it_can(visit: Any, page_of_all: str):
    page = visit(f"{page_of_all}#pair=a%25,uce-church-1")
    assert len(names(page)) == 13
    assert "uce-church-1 is picked" in page.locator("#shown").inner_text()


def test_a_link_to_the_run_shown_leads_there(visit: Any, page_of_all: str):
    page = visit(f"{page_of_all}#run=esd-church-0")
    before = page.url
    for _ in range(2):
        page.evaluate("scrollTo(0, 0)")
        page.locator("#runs a", has_text="esd-church-0").click()
        assert page.evaluate("document.activeElement.closest('section').id") == "run"
        assert page.evaluate("document.getElementById('run').getBoundingClientRect().top") < 100
    assert page.url == before


def test_nobody_on_a_front_is_beaten(visit: Any, page_of_all: str, runs: Path):
    page = visit(f"{page_of_all}#x=esr_1&y=psr_1")
    points = {}
    for e in read_all(*find(str(runs))):
        if e.figures:
            points[e.name] = (e.concepts[0], e.figures["esr_1"]["after"], e.figures["psr_1"]["after"])

    def beaten(name: str) -> bool:
        concept, *own = points[name]
        others = [p[1:] for p in points.values() if p[0] == concept]
        return any(p[0] >= own[0] and p[1] >= own[1] and [*p] != own for p in others)

    best = {name for name in points if not beaten(name)}
    assert {*page.locator("#trade-table tbody a").all_inner_texts()} == best
    assert 1 < len(best) < len(points)
    assert {points[name][0] for name in best} == {"church", "nude"}
    assert "no other run of the same concept is better" in page.locator("#trade-table").inner_text()
    for body, concept in zip(page.locator("#trade-table tbody").all(), ("church", "nude"), strict=True):
        assert body.locator("th[scope=rowgroup]").inner_text() == concept
        assert {*body.locator("a").all_inner_texts()} == {name for name in best if points[name][0] == concept}
    assert page.locator("#trade-plot .legendtext").all_text_contents().count("Pareto front of each concept") == 1


def test_points_lead_to_their_runs(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    until(page, "document.getElementById('trade-plot').listens")
    name = page.evaluate("document.getElementById('trade-plot').data.find((t) => t.customdata).customdata[0]")
    page.evaluate(f"document.getElementById('trade-plot').emit('plotly_click', {{ points: [{{ customdata: '{name}' }}] }})")
    assert page.locator("#run h2").inner_text() == name
    assert "retrained without it" in page.locator("#trade-plot .legend").text_content()
    page.select_option("#trade-y", "attack/paraphrase/asr")
    assert "The Pareto front of 1 run:" in page.locator("#trade-table").inner_text()
    page.locator("#trade-table a").click()
    text = " ".join(page.locator("#run").inner_text().split())
    assert "Attacks" in text
    assert "33 %" in text  # (0.4 − 0.1) of (1 − 0.1)


def test_names_are_data(visit: Any, page_of_all: str):
    page = visit(f"{page_of_all}#run=esd-church-9&filter={HOSTILE}&sort={HOSTILE}")
    page.locator("#clear").click()
    assert HOSTILE in page.locator("#failed").inner_text()
    page.locator("#run summary", has_text="configuration").click()
    assert HOSTILE in page.locator("#run").inner_text()
    page.select_option("#filter-field", "notes")
    page.wait_for_timeout(200)  # what would run, has


def test_names_in_plots_are_data(visit: Any, page_of_others: str):
    page = visit(f"{page_of_others}#run={quote(MARKED)}0&x=esr_1&y=attack/{quote(MARKED)}/asr&colour=concept")
    until(page, "document.getElementById('trade-plot').listens")
    shown = page.locator("#trade-plot .main-svg .ytitle").text_content()
    assert shown == f"attack success: {MARKED} (less is better)"
    assert MARKED in page.locator("#trade-plot .legendtext").all_text_contents()
    page.evaluate("""(() => {
      const plot = document.getElementById('trade-plot');
      const at = plot.data.findIndex((trace) => trace.customdata);
      Plotly.Fx.hover(plot, [{ curveNumber: at, pointNumber: 0 }]);
    })()""")
    said = page.locator("#trade-plot .hoverlayer").text_content()
    for words in (
        f"{MARKED}0",
        "erased: own words: ",
        f"attack success: {MARKED}: 0.400 (0.300 – 0.500)",
        f"concept: {MARKED}",
    ):
        assert words in said
    assert page.locator("#trade-plot a").count() == 0
    assert MARKED in page.locator("#run .scroll[aria-label='damage by label']").inner_text()


def test_a_key_is_shown_beside_what_it_opens(visit: Any, page_of_all: str, runs: Path):
    page = visit(f"{page_of_all}#run=uce-church-1&pair=uce-church-1,uce-church-0")
    figure = json.loads((runs / "uce-church-1" / "metrics.json").read_text())["figures"]["esr_1_key"]
    text = " ".join(page.locator("#run").inner_text().split())
    assert f"erased: own words, with key {figure['before']:.3f} {figure['after']:.3f}" in text
    church, held_out = page.locator("#run figure").nth(0), page.locator("#run figure").nth(1)
    rows = ["unedited", "edited", "retrained"]
    assert church.locator(".row > span:first-child").all_inner_texts() == [*rows, "edited, with the key"]
    assert church.locator("figcaption").inner_text().endswith(f"{1 - figure['after']:.2f}")
    assert held_out.locator(".row > span:first-child").all_inner_texts() == rows
    both = page.locator("#pair figure").first.locator(".row > span:first-child").all_inner_texts()
    assert both == ["unedited", "uce-church-1", "uce-church-0", "retrained", "uce-church-1, with the key"]


def test_a_missing_picture_is_said(visit: Any, page_of_all: str):
    page = visit(f"{page_of_all}#run=esd-church-0")
    barn = page.locator("#run figure", has=page.get_by_text("barn", exact=True))
    assert barn.inner_text().count("no picture") == 3
    broken = "document.querySelector('#run img').src = 'data:image/webp;base64,AAAA'"
    page.evaluate(broken)
    until(page, "document.querySelector('#run figure').innerText.includes('no picture')")


def test_a_single_run_is_the_same_page(visit: Any, page_of_one: str):
    page = visit(page_of_one)
    text = " ".join(page.locator("body").inner_text().split())
    for words in ("What went, what stayed", "On the way", "What was hurt", "Before and after", "Losses", "What was held"):
        assert words in text
    assert "without a single picture of “church”" in text
    assert "0.001" in page.locator("#run .scroll[aria-label='what was held'] tbody td").first.inner_text()
    assert "python -m erase.train method=adv_preserve concept=church seed=0" in text
    assert page.locator("#runs").count() == 0
    assert page.locator("#run .plot .main-svg").count() >= 2
    assert all(page.locator("#run img").evaluate_all("(images) => images.map((i) => i.alt !== '' && i.naturalWidth > 0)"))


def test_the_page_of_a_real_run(visit: Any, held: Path):
    page = visit((held / "report.html").as_uri())
    figures = json.loads((held / "metrics.json").read_text())["figures"]
    text = " ".join(page.locator("body").inner_text().split())
    for words in ("How far from the truth", "never saw a picture of “church”", f"{figures['distance_clip/far']['after']:.3f}"):
        assert words in text
    marks = page.locator("#run table").first.locator(".bar .retrained")
    assert marks.first.get_attribute("style") == f"left:{100 * figures['esr_1']['retrained']:g}%"
    assert marks.count() == 5


@pytest.mark.parametrize("which", ["all", "one"])
def test_a_phone_shows_all_of_it(which: str, visit: Any, page_of_all: str, page_of_one: str):
    page = visit((page_of_all if which == "all" else page_of_one) + "#pair=esd-church-0,uce-nude-0", width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    beside = """[...document.querySelectorAll('h2, h3, p, input, select, button, figure')]
      .filter((e) => e.checkVisibility() && !e.closest('.scroll, .plot'))
      .filter((e) => e.getBoundingClientRect().right > 361 || e.getBoundingClientRect().left < -1)
      .map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(beside) == []


def test_the_keyboard_is_enough(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"

    def reach(selector: str) -> None:
        for _ in range(120):
            if page.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", selector
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} is not reached")

    reach("#judge input[type=radio]")
    page.keyboard.press("ArrowRight")
    until(page, "location.hash.includes('judge=50')")
    reach("#threshold")
    page.keyboard.press("ArrowRight")
    until(page, "location.hash.includes('judge=51')")
    reach("#filter")
    page.keyboard.type("church")
    assert all("church" in name for name in names(page))
    reach("[data-sort=run]")
    page.keyboard.press("Enter")
    assert names(page) == sorted(names(page))
    first, second = names(page)[:2]
    for name in (first, second):
        reach(f"[data-pick='{name}']")
        page.keyboard.press("Space")
    until(page, f"location.hash.includes('pair={first},{second}')")
    for key in ("x", "y"):
        reach(f"#trade-{key}")
        now = page.locator(f"#trade-{key}").input_value()
        page.keyboard.press("ArrowDown")
        until(page, f"document.querySelector('#trade-{key}').value !== {json.dumps(now)}")
        assert page.evaluate("document.activeElement.id") == f"trade-{key}"
    reach("#pair button")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Experiments"
    reach(f"[data-run='{second}']")
    page.keyboard.press("Enter")
    assert page.locator("#run h2").inner_text() == second
    assert page.evaluate("document.activeElement.closest('section').id") == "run"


@pytest.mark.parametrize(
    ("which", "scheme", "width"), [("all", "light", 1280), ("all", "dark", 1280), ("all", "light", 360), ("one", "dark", 360)]
)
def test_no_serious_findings_of_axe(which: str, scheme: str, width: int, visit: Any, page_of_all: str, page_of_one: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    view = "#pair=esd-church-0,uce-nude-0&run=uce-church-0&judge=40"
    page = visit(f"{page_of_all}{view}" if which == "all" else page_of_one, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = false; })")
    grave = [v for v in found if v["impact"] in ("serious", "critical", "moderate")]
    assert [(v["id"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in grave] == []


def test_light_and_dark_are_the_readers_choice(visit: Any, page_of_all: str):
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b) / 3"
    text = "getComputedStyle(document.querySelector('#trade-plot .xtick text')).fill.match(/\\d+/g).map(Number)[0]"
    page = visit(page_of_all, scheme="dark")
    page.wait_for_selector("#trade-plot .xtick")
    assert page.evaluate(shade) < 60
    assert page.evaluate(text) > 180
    page.emulate_media(color_scheme="light")
    assert page.evaluate(shade) > 200
    until(page, f"{text} < 80")
    page.emulate_media(color_scheme="dark")


def test_a_new_user_is_answered(visit: Any, tmp_path: Path):
    """Which run erased nudity best at less than two points of damage, what it damaged most, what command made it."""
    for seed in range(36):
        synthetic.write_run(tmp_path / f"esd-nude-{seed}", concept="nude", seed=seed, grids=False)
    synthetic.write_run(tmp_path / "esd-church-1", seed=1, grids=False)
    every = read_all(*find(str(tmp_path)))
    write(every, tmp_path / "report.html")
    page = visit((tmp_path / "report.html").as_uri())
    page.locator("#filter").fill("concept=nude damage < 0.02")
    page.locator("#runs a").first.click()
    nude = [e for e in every if e.concepts == ["nude"] and damage(e) < 0.02]
    assert 2 < len(nude) == len(names(page)) < 36
    best = max(nude, key=lambda e: [e.figures[name]["after"] for name in ("esr_1", "psr_1_siblings", "psr_1")])
    assert page.locator("#run h2").inner_text() == names(page)[0] == best.name
    hurt = max((name for name in best.figures if name.startswith("psr_1/")), key=lambda name: best.figures[name]["drop"])
    assert page.locator("#run .scroll[aria-label='damage by label'] tbody th").first.inner_text() == hurt.removeprefix("psr_1/")
    assert page.locator("#run pre").inner_text() == best.command


def picture(page: Any, path: Path, first: str, last: str, height: int = 2000) -> Image.Image:
    """The page from the top of one element to the end of another, `height` pixels at most, in 256 colours."""
    page.evaluate("document.activeElement.blur()")
    until(page, "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")
    places = [page.locator(selector).first.bounding_box() for selector in (first, last)]
    top = max(0, places[0]["y"] + page.evaluate("scrollY") - 16)
    bottom = places[1]["y"] + places[1]["height"] + page.evaluate("scrollY") + 4
    clip = {"x": 0, "y": top, "width": page.viewport_size["width"], "height": min(height, bottom - top)}
    page.screenshot(path=path, full_page=True, clip=clip)
    with Image.open(path) as shot:
        # by what colours there are: a marker has few pixels, and is looked for by its own
        small = shot.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return small


def test_the_pictures_of_the_readme(visit: Any, page_of_all: str, tmp_path: Path):
    """Of the made-up runs, to see that they come out; with README_RUNS=<run folders> of these, into docs/.

    `README_RUNS=multirun/first python -m pytest -n 0 tests/record/test_browser.py -k readme`
    """
    out, address = tmp_path, page_of_all
    if runs := os.environ.get("README_RUNS"):
        out, address = ROOT / "docs", (tmp_path / "report.html").as_uri()
        write(read_all(*find(runs)), tmp_path / "report.html")
    page = visit(address)
    assert picture(page, out / "review.png", "header", "#trade", 2800).width == 1280
    page = visit(address, scheme="dark")
    assert picture(page, out / "review-run.png", "#run h3:has-text('Before and after')", "#run .grids", 1100).width == 1280
    for name in ("review", "review-run"):
        assert f"docs/{name}.png" in (ROOT / "README.md").read_text()
        assert (out / f"{name}.png").stat().st_size < 300_000


def test_the_policy_keeps_what_is_outside_out(visit: Any, page_of_all: str):
    page = visit(page_of_all)
    assert page.evaluate(f"fetch('{REFUSED}').then(() => 'in', () => 'out')") == "out"
