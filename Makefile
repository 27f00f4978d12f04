# make demo   set up, train the teddy bear on the embedded base, write a labelled grid
# make test   set up, lint, types, tests
.PHONY: help demo test clean
.DEFAULT_GOAL := help

# any Python from 3.11 on; name another one with: make test PYTHON=/path/to/python3
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	command -v $$python > /dev/null && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
	&& command -v $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
CONCEPT := outputs/teddy-bear
# modules are compiled when first imported; compiling all of them now takes longer than the rest of the installation
PIP_OPTIONS := --quiet --disable-pip-version-check --no-compile
# and kept, whatever the environment says: the tests start many processes, and torch takes long to compile
export PYTHONDONTWRITEBYTECODE :=

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/runtime.stamp
	$(BIN)/python -m trainer train --config examples/teddy-bear/dreambooth.json --output_dir $(CONCEPT)
	$(BIN)/python -m examples.grid --concept $(CONCEPT)

test: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# The stamps are written last, so that a set-up that was cut short is done again.
$(VENV)/runtime.stamp: requirements.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later was found; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/runtime.stamp
	$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) outputs
