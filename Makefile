# `make setup` once, then `make check`. Another interpreter: make PYTHON=python3.12 setup
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup check lint types test bench clean

setup: $(BIN)/fourfold

$(BIN)/fourfold: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'

check: lint types test

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/pyright --pythonpath $(BIN)/python

# One process a core and one thread each: OpenMP threads of several processes wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

bench: setup
	for script in cold lrn pipeline; do $(BIN)/python bench/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .ruff_cache
