# Saltern: `make demo` builds a highly available OpenStack on this machine, `make test` tests everything.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PATHS := $(wildcard _utils _modules _runners _states _pillar _grains _engines lab tests tools bench)
SCRIPTS := $(shell grep -lE '^\#!/bin/(ba)?sh' lab/* lab/canary/* lab/image/*/usr/*bin/* .ci/* 2>/dev/null)

.PHONY: help demo test bench faults coverage lint clean venv

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 \t/p' Makefile

demo: ## a whole cloud on this machine, from nothing; safe to run again (root)
	@$(PYTHON) lab/preflight.py
	@lab/install
	@$(MAKE) --no-print-directory venv
	@lab/lab demo

test: venv ## linters and every test; without root all but the lab
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory coverage
	$(BIN)/pytest tests/contract tests/render --numprocesses=auto
	@if [ "$$(id -u)" = 0 ]; then \
	    $(PYTHON) lab/preflight.py; lab/install --tests; $(BIN)/pytest tests/integration tests/lab; \
	else \
	    echo 'not root: every test but the lab (they make networks and containers)'; \
	    $(BIN)/pytest tests/integration; \
	fi

coverage: venv ## unit tests; every line and branch of the decisions must be run
	$(BIN)/pytest tests/unit --numprocesses=auto --cov=saltern --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

bench: venv ## measure what Saltern claims; what needs the lab is skipped without it
	@PYTHONPATH=_utils $(BIN)/python -m bench

faults: venv ## break the lab on purpose, most faults five times, and print how long what was away (root)
	@$(PYTHON) lab/preflight.py; lab/install --tests
	SALTERN_RUNS=5 $(BIN)/pytest tests/lab -m faults; PYTHONPATH=_utils $(BIN)/python -m bench.faults

lint: venv ## ruff, mypy, yamllint, salt-lint and our own checks
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/mypy --strict _utils tests lab $(wildcard bench) tools
	$(BIN)/yamllint --strict $(wildcard examples catalog orch salt pillar master.d minion.d)
	@sls=$$(find salt/ orch/ -name '*.sls'); [ -z "$$sls" ] || $(BIN)/salt-lint $$sls
	$(BIN)/shellcheck $(SCRIPTS)
	@PYTHONPATH=_utils $(BIN)/python -m tools.lint

clean: ## remove machines, networks, images and .lab/; the machine is as it was, but for packages (it lists them)
	@if [ -e .lab ]; then $(MAKE) --no-print-directory venv && lab/lab clean; fi
	rm -rf $(VENV)

venv: $(VENV)/.ready

$(VENV)/.ready: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || lab/install
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo 'installing the Python environment in $(VENV)'
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
