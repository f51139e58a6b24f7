# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, packages from PyPI, and, as
# root on Debian or Ubuntu, the few system packages that are missing. PYTHON=/path/to/python3 chooses the Python.

VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean

help:
	@echo "make demo    server, agent and a real training flow on this machine, end to end"
	@echo "make test    formatting, lint, types, walls and all tests"
	@echo "make check   the same without the tests"
	@echo "make bench   time and memory, as ratios against their floors"
	@echo "make clean   remove what these made"

demo: $(RUNS)
	@$(BIN)/agent demo

test: check
	@tests/run

check: $(TESTS)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(TESTS)
	@bench/run

$(RUNS): pyproject.toml tests/set-up
	@tests/set-up $(VENV) server
	@touch $@

$(TESTS): pyproject.toml tests/set-up
	@tests/set-up $(VENV) server,dev
	@touch $@ $(RUNS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis dist build
