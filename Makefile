# Every target makes .venv first where it is missing or out of date. `make help` lists them.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first of these that runs and is new enough; a pyenv shim may exist and not run.
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13,\
	$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
# Twice quiet: errors only. Constraints keep torch at the one build that was tested.
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install -c constraints.txt

WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo backbone test check bench figures eval-quick client-models format lint types unit integration security release-checks clean
.NOTPARALLEL:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: backbone  ## two tenants memorize real documents and answer questions about them
	$(BIN)/python -m mplus_ray.deploy.demo

backbone: $(STAMP)  ## fetch what mplus-small is built on, once; after it no network is needed
	$(BIN)/mplus get small

test: unit integration security  ## all tests

check: format lint types unit  ## format, lint, types and unit tests

bench: $(STAMP)  ## speed of memorizing and answering on this machine
	$(BIN)/mplus bench model

figures: backbone  ## docs/FIGURES.md and README's figures anew, in an hour (MINUTES=60); DATA=FILE.jsonl: questions
	$(BIN)/mplus bench figures --readme README.md $(if $(MINUTES),--minutes $(MINUTES)) $(if $(DATA),--data "$(DATA)")

eval-quick: $(STAMP)  ## what the default checkpoint remembers, finds and knows, in minutes
	$(BIN)/mplus eval quick

client-models: $(STAMP)  ## the client's models anew, from the service's OpenAPI document
	$(BIN)/python -m tests.client_models

# Targets of their own, so that `make -k check` reports all of them.
format: $(STAMP)
	$(BIN)/python -m ruff format --check .

lint: $(STAMP)
	$(BIN)/python -m ruff check .

types: $(STAMP)
	$(BIN)/python -m mypy

# A file of tests stays in one process, with the models and databases that its tests share.
unit: $(STAMP)  ## unit tests, by WORKERS processes of a thread each; WORKERS=0: in one
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 15 tests/unit

integration: $(STAMP)
	$(BIN)/python -m pytest --durations 15 tests/integration

security: $(STAMP)  ## attacks on a real service on loopback, and a minute of fuzzing
	$(BIN)/python -m pytest --durations 15 tests/security

# Tools of their own, so that they change nothing of what they look at. Needs the network.
release-checks: $(STAMP)  ## known weaknesses of what is installed, and a CycloneDX SBOM of it
	"$(PYTHON)" -m venv build/release-tools
	build/release-tools/bin/python -m pip --quiet install 'pip-audit>=2.9' 'cyclonedx-bom>=7'
	mkdir -p dist
	build/release-tools/bin/cyclonedx-py environment --of JSON -o dist/sbom.json $(BIN)/python
	build/release-tools/bin/pip-audit --progress-spinner off --skip-editable \
		--path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:  ## remove .venv, caches and build outputs; never a data directory
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A first installation that was cut short leaves .unfinished behind and is begun again from
# nothing; an environment that somebody else made is kept and brought up to date.
$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "mplus-ray needs Python 3.11 or newer: install python3.11," \
		"or name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@if [ -e $(VENV)/.unfinished ] || [ ! -x $(BIN)/python ]; then \
		echo "Making $(VENV) with $$($(PYTHON) --version); this takes a few minutes once." >&2; \
		rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.unfinished && \
		$(PYTHON) -m venv $(VENV); \
	else echo "Bringing $(VENV) up to date." >&2; fi
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable '.[dev,train]'
	@rm -f $(VENV)/.unfinished
	@touch $(STAMP)
