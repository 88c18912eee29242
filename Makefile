# make demo: from nothing to a task matrix.   make test: lint, types, tests.   make gpu: a report.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint fast soak bench gpu clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/structalign demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	ln -sfn $(CURDIR) $(VENV)/structalign
	MYPYPATH=$(VENV) $(BIN)/mypy
	MYPYPATH=$(VENV):tests $(BIN)/mypy tests

test: lint
	$(BIN)/python -m pytest

fast: lint
	$(BIN)/python -m pytest -m "not slow and not soak"

soak: $(STAMP)
	$(BIN)/python -m pytest -n 0 -s -m soak tests/soak

bench: $(STAMP)
	$(BIN)/python -m structalign.benchmarks

gpu: $(STAMP)
	$(BIN)/python -m structalign.benchmarks.gpu_report

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
