# Everything a clone can make; bare `make` says what. Needs python3 (3.11 or newer) with pip, nothing else.

.DEFAULT_GOAL := help
.PHONY: help setup train locked lock audit demo lab notebook test core check golden bench docs
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
CORE := .venv-core
BARE := .venv-notebook
BIN := $(VENV)/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# `--python` lets the pip that runs here install there, so that the environment needs no pip of its own
INSTALL = $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check

help:  ## Say what there is to make
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(VENV)/.package  ## Put the package and what it needs into .venv: 0.4 GB, no torch
	@echo "made $(VENV); the program is $(BIN)/pixelwise, and $(BIN)/pixelwise --help says what it does"

train: $(VENV)/.all  ## Put what training, the lab, batches and the page need into .venv, too: torch is large
	@echo "installed everything into $(VENV)"

locked: | $(BIN)/python  ## The same with the tools, in exactly the versions of requirements.lock, by their hashes
	@echo "installing what requirements.lock names into $(VENV); torch is large, so this can take minutes"
	@$(INSTALL) --require-hashes --no-deps --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.package $(VENV)/.all $(VENV)/.tools

lock: $(VENV)/.supply  ## Write requirements.lock anew: the newest versions that fit, with hashes
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	@echo "wrote requirements.lock: $$(grep -c '==' requirements.lock) packages"

audit: $(VENV)/.supply  ## Known holes in what requirements.lock names, and a bill of materials in out
	@.ci/audit $(BIN) requirements.lock out

demo: $(VENV)/.package  ## Colour photographs, cut a flower out, learn from twenty masks; one page
	@$(BIN)/pixelwise demo -o out/demo

lab: $(VENV)/.all  ## Train networks and answer the assignment, small: a writeup, a notebook (6 minutes)
	@$(BIN)/pixelwise lab --quick -o out/lab

notebook: $(BARE)/.packages  ## Run the assignment's notebook, small, where nothing of ours is installed (2 minutes)
	@mkdir -p out/notebook
	@sed 's/^QUICK = False/QUICK = True/; s|^DATA_DIR = "data"|DATA_DIR = "$(abspath $(PIXELWISE_DATA))" or "data"|' \
		src/pixelwise/lab/a2-cnn.py > out/notebook/a2-cnn.py
	@$(BARE)/bin/jupytext --quiet --to ipynb out/notebook/a2-cnn.py
	@$(BARE)/bin/jupyter-execute --kernel_name=python3 --inplace out/notebook/a2-cnn.ipynb
	@echo "ran out/notebook/a2-cnn.ipynb, in $(BARE)"

test: $(VENV)/.tools  ## Run every test; those on real data where PIXELWISE_DATA names it
	@$(BIN)/pytest -n 2 --dist worksteal tests
	@echo "every test passed, in $(VENV); PIXELWISE_DATA=$${PIXELWISE_DATA:-(unset: tests on real data were skipped)}"

core: $(CORE)/.package  ## Run the tests of what needs no torch, in an environment that has none
	@$(CORE)/bin/pytest -n 2 --dist worksteal -m core tests
	@echo "the core's tests passed, in $(CORE), which has no torch"

check: $(VENV)/.tools  ## What to run before a commit: format, lint, types, layers, spelling, the fast tests
	@$(BIN)/pre-commit run --all-files
	@$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not real" tests
	@echo "checked format, lint, types, layers, spelling and the fast tests"

golden: $(VENV)/.tools  ## Compare with what must not change: loss traces, Lab, the palette's table
	@$(BIN)/pytest -n 2 tests/golden

bench: $(VENV)/.tools  ## Measure what is claimed, onto one page (about an hour)
	@$(BIN)/python benchmarks/page.py --out out/bench

docs: $(VENV)/.tools  ## Build the site of the docs into out/site; a dead link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "out/site/index.html  the first page; with search: python3 -m http.server -d out/site"

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "pixelwise needs Python 3.11 or newer, found $$(python3 --version 2>&1);" \
		"install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m pip --version > /dev/null || { echo "pixelwise needs pip for $(PYTHON), found none;" \
		"install it (Debian: apt-get install python3-pip) and call make again" >&2; exit 1; }
	@$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.package: pyproject.toml | $(BIN)/python
	@echo "installing pixelwise and what it needs into $(VENV); this takes a minute or two"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.all: pyproject.toml | $(VENV)/.package
	@echo "installing what training needs into $(VENV); torch is large, so this can take minutes"
	@$(INSTALL) --editable '.[all]'
	@touch $@

$(CORE)/.package: pyproject.toml
	@$(PYTHON) -m venv --without-pip $(CORE)
	@$(PYTHON) -m pip --python $(CORE)/bin/python install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(BARE)/.packages: Makefile
	@$(PYTHON) -m venv --without-pip $(BARE)
	@echo "installing what the notebook needs into $(BARE); torch is large, so this can take minutes"
	@$(PYTHON) -m pip --python $(BARE)/bin/python install --quiet --disable-pip-version-check \
		torch torchvision numpy matplotlib jupytext nbclient ipykernel
	@touch $@

$(VENV)/.tools: pyproject.toml | $(VENV)/.package
	@echo "installing what the tests need into $(VENV)"
	@$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.supply: pyproject.toml | $(VENV)/.package
	@$(INSTALL) --editable '.[supply]'
	@touch $@
