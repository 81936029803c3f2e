"""What pip would install: conf/ and the weights travel with the package."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from conftest import QUICK, ROOT

RUNS = """
import runpy, erase, erase.command, erase.miniature
print(erase.__file__, erase.command.CONF, erase.miniature.WEIGHTS, flush=True)
runpy.run_module("erase.train", run_name="__main__", alter_sys=True)
"""


def test_wheel_runs_from_any_folder(tmp_path: Path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path / "dist"), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("erase-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "erase" / "concept" / "english.txt").is_file()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "ERASE_CACHE": str(tmp_path / "cache")}
    fields = ["+method=esd", "concept=church", "logger=none", *QUICK, "steps=1"]
    ran = subprocess.run([sys.executable, "-c", RUNS, *fields], cwd=elsewhere, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    places = ran.stdout.splitlines()[0].split()
    assert len(places) == 3
    assert all(place.startswith(str(tmp_path / "site")) for place in places)
    assert (elsewhere / "outputs" / "esd-church-0" / "report.html").is_file()
