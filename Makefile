# `make demo` and `make test` are all a newcomer needs; each sets up what it misses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-docker check bench lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## a .venv with everything pinned; safe to repeat

# The lock file pins every package; the project itself is installed editable. Not compiled ahead: that takes as
# long as all the rest, for modules of which most are never imported.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("runwatch needs Python 3.11 or newer, and this is %d.%d: say make PYTHON=python3.11 ..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP)  ## the local stack, a fleet of agents, and the incident, told as it happens
	@$(BIN)/runwatch demo

test: $(STAMP)  ## all tests, on the real local stack
	@$(BIN)/python -m pytest

test-docker: $(STAMP)  ## the tests that need a Docker engine
	@$(BIN)/python -m pytest -m docker

check: $(STAMP)  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p .build && ln -sfn .. .build/runwatch
	@cd .build && ../$(BIN)/mypy --config-file ../pyproject.toml -p runwatch
	@$(BIN)/lint-imports

bench: $(STAMP)  ## every benchmark, beside its peers
	@$(BIN)/runwatch bench

lock:  ## pin every package of the development environment anew
	@$(PYTHON) -m venv .build/lock && .build/lock/bin/pip install --quiet --disable-pip-version-check uv
	@.build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --extra dev --output-file requirements.lock pyproject.toml

clean:  ## forget the environment and what it built (keeps .runwatch, the stack's data)
	@rm -rf $(VENV) .build build dist *.egg-info
