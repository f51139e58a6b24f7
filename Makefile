# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, the locked packages by their
# digests, and, as root on Debian or Ubuntu, the few system packages that are missing. PYTHON=/path/to/python3 chooses the Python.

VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests
LOCKS := $(wildcard install/requirements/*.txt tests/requirements/*.txt)

.DEFAULT_GOAL := help
KILLS := 100
STORE :=

.PHONY: help demo test quick check soak soak-streams bench lock test-newest test-oldest clean

help:
	@echo "make demo    server, agent and a real training flow on this machine, end to end"
	@echo "make test    formatting, lint, types, walls and all tests"
	@echo "make quick   formatting, lint, types, walls and the pure rooms' tests: a minute or two"
	@echo "make check   formatting, lint, types, walls"
	@echo "make soak    hours: KILLS=100 random kills a store, fleets, crashes and the API's fuzz in full (STORE=sqlite SEED=N: that schedule of kills alone)"
	@echo "make soak-streams    KILLS=200 kills of supervisors, agents and servers while records stream through flows (STORE=postgresql, SEED=N)"
	@echo "make bench   time and memory, as ratios against their floors"
	@echo "make lock    the locked packages anew, from the ranges of pyproject.toml (KEEP=1: what is locked stays where it can)"
	@echo "make test-newest, make test-oldest    the ranges of pyproject.toml at their two ends"
	@echo "make clean   remove what these made"

demo: $(RUNS)
	@$(BIN)/agent demo

test: $(TESTS)
	@tests/tier test

check: $(TESTS)
	@tests/check

quick: $(TESTS)
	@tests/tier quick

soak: $(TESTS)
	@$(if $(STORE),PYTHONPATH=tests $(BIN)/python -m faults.soak --kills $(KILLS) --store $(STORE) $(if $(SEED),--seed $(SEED)),KILLS=$(KILLS) tests/tier soak)

soak-streams: $(TESTS)
	@PYTHONPATH=tests $(BIN)/python -m faults.stream_soak $(if $(filter command line,$(origin KILLS)),--kills $(KILLS)) $(if $(STORE),--store $(STORE)) $(if $(SEED),--seed $(SEED))

lock: $(TESTS)
	@tests/lock $(BIN)/uv $(if $(KEEP),,--upgrade)

test-newest test-oldest: $(TESTS)
	@tests/try-ranges $(@:test-%=%)

bench: $(TESTS)
	@bench/run

$(RUNS): pyproject.toml $(LOCKS) tests/set-up
	@tests/set-up $(VENV) server
	@touch $@

$(TESTS): pyproject.toml $(LOCKS) tests/set-up
	@tests/set-up $(VENV) server,dev
	@touch $@ $(RUNS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis dist build
