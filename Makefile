# make run    set up, open the studio in the browser (PORT=7860)
# make demo   set up, train the teddy bear on the embedded base, write a labelled grid
# make test   set up, lint, types, tests
.PHONY: help run demo test chromium clean
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

run: $(VENV)/runtime.stamp
	$(BIN)/python app.py $(if $(PORT),--port $(PORT))

demo: $(VENV)/runtime.stamp
	$(BIN)/python -m trainer train --config examples/teddy-bear/dreambooth.json --output_dir $(CONCEPT)
	$(BIN)/python -m examples.grid --concept $(CONCEPT)

test: $(VENV)/dev.stamp chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

# The tests drive a real browser, the system's own. A fresh Debian or Ubuntu gets it here; elsewhere it is asked for.
chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || test -n "$$CHROMIUM" \
	|| { test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core > /dev/null; } \
	|| { echo "the browser tests need chromium: apt-get install chromium, or name one with CHROMIUM=/path/to/it" >&2; exit 1; }

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
