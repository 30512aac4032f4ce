# Two commands matter: `make train` and `make test`. Each makes its own environment in .venv first.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
INSTALL = $(if $(shell command -v uv 2>/dev/null),uv pip install --quiet --python $(BIN)/python,$(BIN)/pip install --quiet \
	--disable-pip-version-check)

.PHONY: help setup train test test-next test-slow lint bench clean

help:
	@echo "make train      train the embedded demo (ARGS='decoder=lstm512' is passed on)"
	@echo "make test       lint, types and the default tests"
	@echo "make test-next  the configuration's tests with the pre-release of Hydra"
	@echo "make test-slow  the slow tests; installs Ray first"
	@echo "make bench      every benchmark; rewrites docs/benchmarks.md"

setup: .venv/installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Showtell needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@if command -v uv >/dev/null; then uv venv --quiet --allow-existing --python $(PYTHON) .venv; \
		else $(PYTHON) -m venv .venv; fi

.venv/installed: pyproject.toml | .venv/bin/python
	@$(INSTALL) -e '.[dev,sweep]'
	@touch .venv/package $@

# the package alone: training needs no test tools
.venv/package: pyproject.toml | .venv/bin/python
	@$(INSTALL) -e .
	@touch $@

train: .venv/package
	$(BIN)/python train.py $(ARGS)

test: setup lint
	$(BIN)/python -m pytest -n 2 -rs $(ARGS)

# the next Hydra and OmegaConf lie in a folder that only this target imports from; what they deprecate is listed, not an error
test-next: setup
	@rm -rf .venv/next
	@$(INSTALL) --pre --target .venv/next 'hydra-core>=1.4.0.dev0'
	PYTHONPATH=$(CURDIR)/.venv/next PYTHONWARNINGS=ignore $(BIN)/python -m pytest -n 2 -q -W default \
		tests/test_command_line.py tests/config

test-slow: setup .venv/ray
	$(BIN)/python -m pytest -m slow -rs $(ARGS)

# 240 MB that only the slow tests of a sweep on a Ray cluster want
.venv/ray: .venv/installed
	@$(INSTALL) -e '.[ray]'
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv cache data/shapes
