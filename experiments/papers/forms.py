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
FORMS = ("eap_published", "eap", "eap_refreshed")
FIGURES = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
ASKED = ("protocol.images=80", "protocol.sibling_images=16", "protocol.kept_images=2", "protocol.steps=12")


def runs(sweep: Path, concept: str = "nudity") -> dict[str, list[Path]]:
    """The folders of each form by seed, of those seeds that all forms have finished."""
    found: dict[str, dict[str, Path]] = {form: {} for form in FORMS}
    for folder in filter(study.is_finished, sorted(sweep.iterdir())):
        _, _, row = study.run_of(folder, system="experiment", concept="concept")
        if row["system"] in found and row["concept"] == concept:
            found[row["system"]][row["seed"]] = folder
    seeds = sorted(set.intersection(*(set(own) for own in found.values())))
    return {form: [own[seed] for seed in seeds] for form, own in found.items()}


def compared(path: Path) -> list[dict[str, object]]:
    """Rows of `forms.csv` from what `erase.evaluate` wrote of the forms, the published one first."""
    said = json.loads(path.read_text())
    rows: list[dict[str, object]] = []
    for form, figures in zip(FORMS[1:], said["compared"].values(), strict=True):
        for figure in FIGURES:
            told = figures[figure]
            which = {"run": f"{form}-{figure}", "form": form, "figure": figure}
            seen = {"seeds": len(said["models"]) // len(FORMS), "pictures": told["n"]}
            sides = {"published": told["first"], "fast": told["second"], "difference": told["difference"]}
            rows.append({**which, **seen, **sides, "low": told["difference_low"], "high": told["difference_high"]})
    return rows


def main(sweep: Path, results: Path = HERE) -> None:
    found, out = runs(sweep), sweep.parent / f"{sweep.name}-forms"
    sides = ",".join(f"[{','.join(quoted(str(folder)) for folder in folders)}]" for folders in found.values())
    asked = [f"run=[{sides}]", *ASKED, "trainer.precision=32", f"out={quoted(str(out))}"]
    subprocess.run([sys.executable, "-m", "erase.evaluate", *asked], check=True)
    (path,) = out.glob("*-together.json")
    for row in compared(path):
        study.keep(results / "forms.csv", str(row["run"]), [row])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="the sweep's folder of runs")
    main(parser.parse_args().sweep)
