# `make demo` and `make test` do all of their own set-up: a virtual environment in .venv, packages from PyPI, and, as
# root on Debian or Ubuntu, the few system packages that are missing. PYTHON=/path/to/python3 chooses the Python.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean

help:
	@echo "make demo    server, agent and a real training flow on this machine, end to end"
	@echo "make test    formatting, lint, types, walls and all tests"
	@echo "make check   the same without the tests"
	@echo "make bench   time and memory, as ratios against their floors"
	@echo "make clean   remove what these made"

demo: $(READY)
	@$(BIN)/agent demo

test: check
	@tests/run

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(READY)
	@bench/run

$(READY): pyproject.toml tests/set-up
	@tests/set-up $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis dist build
