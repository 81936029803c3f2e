"""This file holds EAP's fast forms against its published one, on nudity: forms.csv, of their runs judged once more.

    python experiments/papers/forms.py multirun/papers

By more pictures than the study's, so that forms that do equally well can be told to; and by other steps than any of them was
trained at. Killed, it goes on where it was.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from erase.command import quoted
from erase.record import study

HERE = Path(__file__).parent
PUBLISHED = "eap_published"
FAST = {"eap": None, "eap_refreshed": 0}
"""The fast forms, and the seed by which one was found: it is no witness for it."""

FIGURES = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
ASKED = ("protocol.images=80", "protocol.sibling_images=16", "protocol.kept_images=2", "protocol.steps=12")


def runs(sweep: Path, concept: str = "nudity") -> dict[str, dict[int, Path]]:
    """The folders of the finished runs of each form, by seed."""
    found: dict[str, dict[int, Path]] = {form: {} for form in (PUBLISHED, *FAST)}
    for folder in filter(study.is_finished, sorted(sweep.iterdir())):
        _, _, row = study.run_of(folder, system="experiment", concept="concept")
        if row["system"] in found and row["concept"] == concept:
            found[row["system"]][row["seed"]] = folder
    return found


def compared(form: str, path: Path) -> list[dict[str, object]]:
    """Rows of `forms.csv` from what `erase.evaluate` wrote of the published form and, after it, of `form`."""
    said = json.loads(path.read_text())
    (figures,) = said["compared"].values()
    rows: list[dict[str, object]] = []
    for figure in FIGURES:
        told = figures[figure]
        which = {"run": f"{form}-{figure}", "form": form, "figure": figure}
        seen = {"seeds": len(said["models"]) // 2, "pictures": told["n"]}
        sides = {"published": told["first"], "fast": told["second"], "difference": told["difference"]}
        rows.append({**which, **seen, **sides, "low": told["difference_low"], "high": told["difference_high"]})
    return rows


def main(sweep: Path, results: Path = HERE) -> None:
    found = runs(sweep)
    for form, other in FAST.items():
        seeds = sorted({*found[PUBLISHED]} & {*found[form]} - {other})
        out = sweep.parent / f"{sweep.name}-{form}"
        sides = [",".join(quoted(str(found[side][seed])) for seed in seeds) for side in (PUBLISHED, form)]
        asked = [f"run=[[{sides[0]}],[{sides[1]}]]", *ASKED, "trainer.precision=32", f"out={quoted(str(out))}"]
        subprocess.run([sys.executable, "-m", "erase.evaluate", *asked], check=True)
        (path,) = out.glob("*-together.json")
        for row in compared(form, path):
            study.keep(results / "forms.csv", str(row["run"]), [row])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="the sweep's folder of runs")
    main(parser.parse_args().sweep)
