# make demo    fit, score and picture on real data
# make test    the default tests
# make lint    style and types
# Each sets up .venv by itself. PYTHON=python3.12 make test uses another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-data lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/tollad demo

test: $(VENV)/dev.stamp
	PYTHONHASHSEED=0 $(BIN)/pytest --numprocesses 2

# Needs the benchmark data in the folder that TOLLAD_DATA names.
test-data: $(VENV)/dev.stamp
	$(BIN)/pytest -m data

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[plot]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
