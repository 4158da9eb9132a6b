# `make demo` and `make test` are all a newcomer needs; each sets up what it misses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-docker check chaos chaos-short bench fuzz soak lock clean

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

# Those on the real stack wait more than they work: three at a time, each with a stack of its own, the files in their
# order, so that the longest do not come last. The browser's measure, and are alone.
test: $(STAMP)  ## all tests, on the real local stack
	@$(BIN)/python -m pytest --numprocesses auto -m "not stack and not docker"
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "stack and not docker" --ignore tests/console/browser
	@$(BIN)/python -m pytest -m "stack and not docker" tests/console/browser

test-docker: $(STAMP)  ## the tests that need a Docker engine
	@$(BIN)/python -m pytest -m docker

# The audit goes last: it asks a service on the network, and says so where none answers.
check: $(STAMP)  ## ruff, mypy --strict, import-linter, bandit, and known holes of the pinned packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p .build && ln -sfn .. .build/runwatch
	@cd .build && ../$(BIN)/mypy --config-file ../pyproject.toml -p runwatch
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml .
	@$(BIN)/python .ci/audit.py requirements.lock

# SEEDS="1 2 3" repeats what a report names; without it a random seed, which is printed.
chaos: $(STAMP)  ## faults under 20,000 events/s, and an account of every event (20 minutes a seed)
	@$(BIN)/python -m tests.chaos $(foreach seed,$(SEEDS),--seed $(seed))

chaos-short: $(STAMP)  ## the same in short: a few faults, once each, under 4,000 events/s
	@$(BIN)/python -m tests.chaos --short $(foreach seed,$(SEEDS),--seed $(seed))

# A minute for each target with atheris, a thousand odd requests for each HTTP front, and a flood of malformed messages
# through worker and sink. FUZZ_SECONDS and FUZZ_BAD say how long and how many.
FUZZ_SECONDS ?= 60
FUZZ_BAD     ?= 1000000
fuzz: $(STAMP)  ## a long search for inputs that break something, and a million malformed messages
	@for target in $$($(BIN)/python -m tests.fuzz.names); do \
	  echo "fuzz: $$target"; $(BIN)/python -m tests.fuzz.guided $$target --seconds $(FUZZ_SECONDS) || exit 1; done
	@RUNWATCH_FUZZ_REQUESTS=1000 RUNWATCH_FUZZ_SEED=$$$$ $(BIN)/python -m pytest --timeout 3000 tests/fuzz/test_fronts.py
	@$(BIN)/python -m tests.fuzz.flood --bad $(FUZZ_BAD) --good $(FUZZ_BAD)

SOAK_MINUTES ?= 60
soak: $(STAMP)  ## an hour at 5,000 events/s: memory and open files flat, nothing lost, no lag
	@$(BIN)/python -m tests.soak.soak --minutes $(SOAK_MINUTES)

bench: $(STAMP)  ## every benchmark, beside its peers
	@$(BIN)/runwatch bench

lock:  ## pin every package of the development environment anew
	@$(PYTHON) -m venv .build/lock && .build/lock/bin/pip install --quiet --disable-pip-version-check uv
	@.build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --extra dev --output-file requirements.lock pyproject.toml

clean:  ## forget the environment and what it built (keeps .runwatch, the stack's data)
	@rm -rf $(VENV) .build build dist *.egg-info
