# make demo    fit, score and picture on real data
# make quick ROOM=tables    style, types and the quick tests of one room: seconds
# make test    the default tests: minutes; make test-slow and make test-data the others
# make lint    style and types
# make hooks   style and types before every commit
# make docs    the documentation as pages, in docs/_build/html
# make benchmark-tables ADBENCH=folder    quality beside other detectors on the tables (.npz) of ADBench
# make benchmark-series SERIES=folder      series beside other detectors on NAB and SKAB
# make benchmark-images TILES=folder       image detectors on tiles, textures and classes of small images
# make benchmark-speed                    speed and memory beside PyOD
# make benchmark-large                    more data than memory holds: speed and memory
# Each sets up .venv by itself. PYTHON=python3.12 make test uses another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most modules of what is installed are never imported: Python compiles the others when they are.
QUICKLY := --quiet --no-compile

.PHONY: demo quick test test-slow test-data lint hooks docs benchmark-tables benchmark-series benchmark-images benchmark-speed benchmark-large clean

demo: $(VENV)/demo.stamp
	$(BIN)/tollad demo

# A room is a folder of tests, such as tables, or a file of them, such as metrics. Quick is
# the first case of each test, without tests that start a process: `make test` runs them all.
ROOM ?= contract
ROOM_TESTS = $(or $(wildcard tests/$(ROOM) tests/test_$(ROOM).py),$(error there are no tests of a room $(ROOM)))
quick: lint
	PYTHONHASHSEED=0 $(BIN)/pytest --numprocesses 2 --dist worksteal --quick $(ROOM_TESTS)

test: $(VENV)/dev.stamp
	PYTHONHASHSEED=0 $(BIN)/pytest --numprocesses 2 --dist worksteal

test-slow: $(VENV)/dev.stamp
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m slow

# Needs the benchmark data in the folder that TOLLAD_DATA names.
test-data: $(VENV)/dev.stamp
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m data

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

hooks: $(VENV)/dev.stamp
	$(BIN)/pre-commit install

# A warning is an error. Nothing is taken from the network.
docs: $(VENV)/docs.stamp
	$(BIN)/sphinx-build -n -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

# What has been measured already is not measured again: remove the results to begin anew.
ADBENCH ?= $(TOLLAD_DATA)/adbench
SERIES ?= $(TOLLAD_DATA)
RESULTS := benchmarks/results
benchmark-tables: $(VENV)/benchmark.stamp
	$(BIN)/python benchmarks/quality.py "$(ADBENCH)" --out $(RESULTS)/quality.jsonl
	$(BIN)/python benchmarks/quality.py "$(ADBENCH)" --out $(RESULTS)/quality.jsonl --contamination 0.05
	$(BIN)/python benchmarks/report.py $(RESULTS)/quality.jsonl --picture docs/images/tables.png
	$(BIN)/python benchmarks/embeddings.py --out $(RESULTS)/embeddings.jsonl

benchmark-speed: $(VENV)/benchmark.stamp
	$(BIN)/python benchmarks/speed.py --out $(RESULTS)/speed.jsonl

benchmark-series: $(VENV)/benchmark.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/series.py "$(SERIES)" --out $(RESULTS)/series.jsonl
	$(BIN)/python benchmarks/series.py --table $(RESULTS)/series.jsonl --docs docs/series.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/live.py --out $(RESULTS)/live.jsonl

TILES ?= $(TOLLAD_DATA)/magnetic_tile
benchmark-images: $(VENV)/benchmark.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/image_detectors.py --out $(RESULTS)/image_detectors.jsonl --tiles "$(TILES)"
	$(BIN)/python benchmarks/image_report.py $(RESULTS)/image_detectors.jsonl --page docs/images.md

benchmark-large: $(VENV)/benchmark.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/large.py --out $(RESULTS)/large.jsonl --picture docs/images/large.png

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable '.[plot]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/docs.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable '.[docs]'
	touch $@

$(VENV)/benchmark.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(QUICKLY) --constraint constraints.txt --editable '.[plot,pyod,vision]' stumpy scikit-image
	touch $@

clean:
	rm -rf $(VENV) build dist docs/_build docs/gallery .pytest_cache .mypy_cache .ruff_cache .hypothesis
