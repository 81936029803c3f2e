"""What pip would install: conf/ and the weights travel with the package."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from conftest import ROOT


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
    script = "import erase, erase.command as c, erase.miniature as m; print(erase.__file__, c.CONF, m.WEIGHTS)"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    told = subprocess.run([sys.executable, "-c", script], cwd=elsewhere, env=env, capture_output=True, text=True)
    assert all(part.startswith(str(tmp_path / "site")) for part in told.stdout.split()), told.stderr
    quick = [
        "steps=2",
        "protocol.images=1",
        "protocol.kept_images=1",
        "protocol.steps=1",
        "protocol.fraction=0.1",
        "latents.steps=2",
        "logger=none",
    ]
    command = [sys.executable, "-m", "erase.train", "+method=esd", "concept=church", *quick]
    ran = subprocess.run(command, cwd=elsewhere, env=env | {"ERASE_CACHE": str(tmp_path / "c")}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (elsewhere / "outputs" / "esd-church-0" / "report.html").is_file()
