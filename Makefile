# Everything that one needs is Python 3.11 or newer, pip and make. The first target sets up .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types bench docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a virtual environment with PyTorch (CPU) and what actscope needs. This takes a few minutes, once."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "actscope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## train a small network on handwritten digits and report on its codes
	@echo "Running: actscope demo (trains on scikit-learn's digits, which are embedded; the report goes to report/index.html)"
	@$(BIN)/actscope demo --out report/

test: $(READY) ## run the tests and the doctests
	@echo "Running the tests and doctests with pytest"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

check: lint types ## lint, types, then the tests
	@$(MAKE) --no-print-directory test

bench: $(READY) ## run the benchmarks; each figure is a ratio within this run
	@$(BIN)/python -m benchmarks.run

$(VENV)/.ready-docs: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

docs: $(VENV)/.ready-docs ## build the documentation into site/
	@$(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html"

clean: ## remove what the other targets made
	rm -rf $(VENV) report site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
