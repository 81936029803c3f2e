# make erase   a virtual environment, the package, the main job: a concept erased, a table, a report
# make test    the same environment with what tests need besides, all tests but those of the proof; root installs Chromium
# make proof   pre-emption on SLURM; sweeps of 36 runs, killed, on SLURM, on a full disk: half an hour
# make bench   updates against their bare passes, published against fast forms, attacks in batches, pictures a second, a page of 500 made-up runs: in one run
# make lint    ruff and mypy

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: erase test proof bench lint clean

erase: .venv/ready
	$(BIN)/python -m erase.train +method=adv_preserve concept=nudity

test: .venv/tested
	ERASE_TESTS_INSTALL=1 $(BIN)/python -m pytest

proof: .venv/tested
	ERASE_TESTS_INSTALL=1 $(BIN)/python -m pytest -n 0 -m proof tests/test_proof.py tests/test_slurm.py

bench: .venv/tested
	$(BIN)/python benchmarks/steps.py
	$(BIN)/python benchmarks/forms.py
	$(BIN)/python benchmarks/attack.py
	$(BIN)/python benchmarks/evaluate.py
	$(BIN)/python benchmarks/report.py

lint: .venv/ready
	$(BIN)/pip install -q $(PIP_ARGS) -e '.[dev]' -c constraints.txt
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q $(PIP_ARGS) -e . -c constraints.txt
	touch $@

.venv/tested: .venv/ready
	$(BIN)/pip install -q $(PIP_ARGS) -e '.[test]' -c constraints.txt
	touch $@

clean:
	rm -rf .venv build dist
