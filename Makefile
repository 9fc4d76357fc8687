# Everything a developer or an operator runs. Needs Python >= 3.11 (with venv) and make; the rest goes into .venv.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
.DEFAULT_GOAL := help
.PHONY: help run test check soak bench lint types static

help: ## List these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.synced: pyproject.toml uv.lock $(BIN)/uv
	$(BIN)/uv sync --quiet --frozen --no-dev --inexact
	@touch $@

.venv/.synced-dev: pyproject.toml uv.lock $(BIN)/uv
	$(BIN)/uv sync --quiet --frozen
	@touch .venv/.synced $@

run: .venv/.synced ## Set up and start everything on 127.0.0.1:$(PORT); Ctrl-C stops it
	@PORT=$(PORT) $(BIN)/python -m cssm.launch

lint: .venv/.synced-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv/.synced-dev
	DEBUG=1 $(BIN)/mypy .

test: .venv/.synced-dev ## The test suite on SQLite, and on PostgreSQL + Redis where they answer
	@$(BIN)/python tests/run_suites.py

check: .venv/.synced-dev lint types ## What CI runs: format, lint, types, import graph, migrations, OpenAPI, then the tests
	DEBUG=1 $(BIN)/python manage.py makemigrations --check --dry-run
	SECRET_KEY=$$(head -c 40 /dev/urandom | base64) KEY_ENCRYPTION_KEY=$$(head -c 40 /dev/urandom | base64) \
	  PUBLIC_URL=https://portal.example $(BIN)/python manage.py check --deploy --fail-level WARNING
	DEBUG=1 $(BIN)/python manage.py spectacular --validate --fail-on-warn --file var/openapi.yaml
	diff -u docs/openapi.yaml var/openapi.yaml
	@$(MAKE) --no-print-directory test

soak: .venv/.synced-dev ## The long runs at full size
	SOAK=1 $(BIN)/python tests/run_suites.py -m soak

bench: .venv/.synced-dev ## Benchmarks, one table
	$(BIN)/python -m tests.benchmarks
