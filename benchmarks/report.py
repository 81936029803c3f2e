"""How long a page of many runs takes to make, how large it is, and how fast it sorts: `make bench`.

Runs are made up: each of as many pictures as `--images` and `--kept` say, judged unedited, edited, halfway and retrained.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import synthetic

from erase.record.page.read import find, read_all
from erase.record.page.write import write

SORT = """(key) => new Promise((done) => {
  const began = performance.now();
  document.querySelector(`[data-sort=${key}]`).click();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
"""Milliseconds from the click to the frame after."""


SLIDE = """(slider) => {
  const began = performance.now();
  slider.value = 30;
  slider.dispatchEvent(new Event("input"));
  return performance.now() - began;
}"""


def bench(count: int, images: int, kept: int, place: Path, chromium: str | None) -> None:
    """Make `count` runs, read them, write the page; sort it where there is a browser. Prints seconds, of which on the CPU."""
    clock = [time.time(), time.process_time()]

    def lap(what: str) -> None:
        now = [time.time(), time.process_time()]
        print(f"{what:40s} {now[0] - clock[0]:6.1f} s, {now[1] - clock[1]:6.1f} s of CPU", flush=True)
        clock[:] = now

    synthetic.write_runs(place, count, images, kept)
    lap(f"{count} runs made up")
    experiments = read_all(find(str(place)))
    lap("read")
    shown = write(experiments, place / "report.html")
    lap("written")
    size = (place / "report.html").stat().st_size
    print(f"{'size':40s} {size / 1e6:6.1f} MB, of which pictures {shown.size / 1e6:.1f}: {shown.said}")
    if chromium and importlib.util.find_spec("playwright"):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.time()
            page.goto((place / "report.html").as_uri())
            page.wait_for_selector("#runs tbody tr")
            print(f"{'opened, its table shown':40s} {time.time() - began:6.2f} s")
            page.wait_for_selector("#trade-plot .main-svg")
            print(f"{'opened, its plot drawn':40s} {time.time() - began:6.2f} s")
            metrics = page.context.new_cdp_session(page)
            metrics.send("Performance.enable", {"timeDomain": "threadTicks"})

            def busy() -> float:
                """Seconds of CPU that the page's own thread has taken so far."""
                found = metrics.send("Performance.getMetrics")["metrics"]
                return next(metric["value"] for metric in found if metric["name"] == "TaskDuration")

            for key in ("run", "psr_1", "damage", "esr_1_synonyms"):
                before, taken = busy(), page.evaluate(SORT, key)
                print(f"{f'sorted by {key}':40s} {taken / 1000:6.2f} s, {busy() - before:6.2f} s of CPU")
            before, taken = busy(), page.locator("#threshold").evaluate(SLIDE)
            print(f"{'all figures at another threshold':40s} {taken / 1000:6.2f} s, {busy() - before:6.2f} s of CPU")
            browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--images", type=int, default=64, help="of the concept and of its synonyms")
    parser.add_argument("--kept", type=int, default=16, help="of every kept label")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench(given.runs, given.images, given.kept, Path(folder), shutil.which("chromium"))
