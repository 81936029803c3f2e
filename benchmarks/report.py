"""How long a page of many runs takes to make, how large it is, and how fast it sorts: `make bench`. Exit code 1 beyond BOUNDS.

Runs are made up: each of as many pictures as `--images` and `--kept` say, judged unedited, edited, halfway and retrained, and
its adversary of a thousand candidates. A page that no browser opened has not been measured: exit code 1 too, unless
`--no-browser`.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import synthetic

BOUNDS = {"made, s": 30.0, "size, MB": 25.0, "sorted, s": 0.5, "slid, s": 1.0}
"""Of a page of 500 runs, on two cores."""

SORT = """(key) => new Promise((done) => {
  const now = () => (performance.now() - began) / 1000;
  const whole = () => document.querySelectorAll("#runs tbody tr").length === RUNS.length;
  const all = (frame) => requestAnimationFrame(() => setTimeout(() => (whole() ? done([frame, now()]) : all(frame))));
  requestAnimationFrame(() => setTimeout(() => all(now()))); // before the page asks for what comes after that frame
  const began = performance.now();
  document.querySelector(`[data-sort=${key}]`).click();
})"""
"""Seconds from the click to the frame after, and to that in which all rows have followed those of a screen."""

SLIDE = """(slider) => {
  const began = performance.now();
  slider.value = 30;
  slider.dispatchEvent(new Event("input"));
  return performance.now() - began;
}"""


def bench(count: int, images: int, kept: int, place: Path, chromium: str | None) -> dict[str, float]:
    """Make `count` runs, have the command make their page, sort it where there is a browser. Prints seconds, of which on the
    CPU; returns what BOUNDS are of."""
    clock = [time.time(), sum(os.times()[:4])]

    def lap(what: str) -> float:
        now = [time.time(), sum(os.times()[:4])]
        taken = [new - old for new, old in zip(now, clock, strict=True)]
        print(f"{what:40s} {taken[0]:6.1f} s, {taken[1]:6.1f} s of CPU", flush=True)
        clock[:] = now
        return taken[0]

    synthetic.write_runs(place, count, images, kept, candidates=1000)
    lap(f"{count} runs made up")
    subprocess.run([sys.executable, "-m", "erase.report", f"runs={place}", f"out={place / 'report.html'}"], check=True)
    found = {"made, s": lap("python -m erase.report"), "size, MB": (place / "report.html").stat().st_size / 1e6}
    if chromium:
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
                before, (frame, whole) = busy(), page.evaluate(SORT, key)
                found["sorted, s"] = max(found.get("sorted, s", 0), frame)
                print(f"{f'sorted by {key}':40s} {frame:6.2f} s, all rows {whole:.2f} s; {busy() - before:6.2f} s of CPU")
            before, taken = busy(), page.locator("#threshold").evaluate(SLIDE)
            found["slid, s"] = taken / 1000
            print(f"{'all figures at another threshold':40s} {taken / 1000:6.2f} s, {busy() - before:6.2f} s of CPU")
            browser.close()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--images", type=int, default=64, help="of the concept and of its synonyms")
    parser.add_argument("--kept", type=int, default=16, help="of every kept label")
    parser.add_argument("--no-browser", action="store_true", help="the making and the size alone")
    given = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not given.no_browser and not (chromium and importlib.util.find_spec("playwright")):
        sys.exit("not measured: sorting and sliding need Playwright and a Chromium (CHROMIUM=<its place>); or --no-browser.")
    with tempfile.TemporaryDirectory() as folder:
        found = bench(given.runs, given.images, given.kept, Path(folder), None if given.no_browser else chromium)
    if beyond := [
        f"{what}: {found[what]:.1f}, {bound:g} at most" for what, bound in BOUNDS.items() if found.get(what, 0) > bound
    ]:
        sys.exit("; ".join(beyond))
