# Needs Python 3.11 or newer and make; everything else goes into .venv, at the versions of the locks.
PYTHON ?= python3
UV ?= uv

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

SOAK_REVOCATIONS ?= 3000
SOAK_SEED ?=
FUZZ_SECONDS ?= 300

.DEFAULT_GOAL := help
.PHONY: help setup check test soak fuzz demo dev fmt lock

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv; done by the others when needed, and again when a lock changes

check: $(READY) ## Format, lint, types, import rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# A file is one process's: what its tests share is made once.
test: $(READY) ## Every test, in two processes
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# SOAK_SEED=N repeats the plan of that seed; without it each run has another.
soak: $(READY) ## The fault tests whole: thousands of revocations while everything is killed, a few minutes
	$(BIN)/python -m tests.support.faults --revocations $(SOAK_REVOCATIONS) $(if $(SOAK_SEED),--seed $(SOAK_SEED))
	$(BIN)/pytest -m soak

# Linux on x86_64. What it finds is left in .venv/fuzz; what is worth keeping is copied to the corpus, which make test sends again.
fuzz: $(READY) ## Requests to the doors, steered by what they reach, for FUZZ_SECONDS
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .ci/requirements-fuzz.lock
	mkdir -p $(VENV)/fuzz
	$(BIN)/python -m tests.faults.fuzz_doors $(VENV)/fuzz tests/faults/corpora/doors -max_total_time=$(FUZZ_SECONDS) \
		-max_len=400 -artifact_prefix=$(VENV)/fuzz-

demo: $(READY) ## A person is signed out of three applications, end to end
	$(BIN)/logoutd demo

dev: $(READY) ## Run everything on this machine until Ctrl-C
	$(BIN)/logoutd dev

fmt: $(READY) ## Format, and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Keeps the versions that are locked; `make lock UPGRADE=--upgrade` moves them all. The development lock holds the runtime
# lock's versions and more.
lock: ## Make the locks anew from pyproject.toml (needs uv: pip install uv, or UV=path)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: 'pip install uv', or name it with UV=path" >&2; exit 1; }
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra embedded --extra dev --constraint requirements.lock --output-file .ci/requirements-dev.lock
	$(COMPILE) --extra fuzz --constraint requirements.lock --output-file .ci/requirements-fuzz.lock

COMPILE = UV_CUSTOM_COMPILE_COMMAND='make lock' $(UV) pip compile pyproject.toml $(UPGRADE) --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --annotation-style line

# From nothing every time: a package that left the locks leaves .venv too.
$(READY): requirements.lock .ci/requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("make PYTHON=...: 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements.lock --requirement .ci/requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
