# `make demo` and `make test` set up everything they need, each from nothing.
PYTHON ?= python3
VENV := .venv
CLIENTS := .venv-clients
NODE := tests/e2e/node
RIVALS := .venv-rivals
NODE_RIVALS := bench/rivals
BIN := $(VENV)/bin
TESTS ?= tests
PROCESSES ?= 2

.PHONY: setup demo run test lint types format lock bench soak budget image semantic-report clean clients node-clients rivals
setup: $(VENV)/.ready
clients: $(CLIENTS)/.ready
node-clients: $(NODE)/node_modules/.ready

$(VENV)/.ready: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "Skinflint needs Python 3.12 or newer: make PYTHON=/path/to/python3.13 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

# The SDKs live apart from the proxy, as applications do.
$(CLIENTS)/.ready: requirements/clients.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install -q --require-hashes -r requirements/clients.txt
	@touch $@

$(NODE)/node_modules/.ready: $(NODE)/package.json $(NODE)/package-lock.json
	npm ci --prefix $(NODE) --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What `make bench` races against, as far as it is not Debian's: nginx-light, squid-openssl and wrk are taken if present.
rivals: $(RIVALS)/.ready $(if $(shell command -v npm),$(NODE_RIVALS)/node_modules/.ready)

$(RIVALS)/.ready: requirements/rivals.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install -q --require-hashes -r requirements/rivals.txt
	@touch $@

$(NODE_RIVALS)/node_modules/.ready: $(NODE_RIVALS)/package.json $(NODE_RIVALS)/package-lock.json
	npm ci --prefix $(NODE_RIVALS) --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

demo: setup clients
	$(BIN)/skinflint demo --python $(CLIENTS)/bin/python

run: setup
	$(BIN)/skinflint run

# Without npm the tests of Node's SDKs are skipped. PROCESSES=0: all in one process, as a debugger wants it.
test: setup clients $(if $(shell command -v npm),node-clients)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m bench

# SOAK_MINUTES says how long; 30 unless it is set.
soak: setup
	$(BIN)/python -m bench.soak

# Outages of Redis and of the disk, under load; writes docs/reliability.md. Under six minutes on a quiet machine.
reliability: setup
	$(BIN)/python -m bench.reliability

# Instructions a call, against bench/budget.json; says why when it cannot count here.
budget: setup
	$(BIN)/python -m bench.budget

# By docker, podman or buildah; prints how large it is and how long it takes to be ready. Needs Python, no environment.
# IMAGE_ARGS are the build's: IMAGE_ARGS="--build-arg EXTRAS='postgresql semantic'"
image:
	$(PYTHON) deploy/image/build.py $(IMAGE_ARGS)

# Precision and recall of semantic answers on the labelled pairs.
semantic-report: setup
	$(BIN)/python -m tests.semantic.report

# Locks hold versions and hashes only.
LOCK = $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header
lock: setup
	$(LOCK) --universal --python-version 3.12 pyproject.toml -o requirements/run.txt
	$(LOCK) --universal --python-version 3.12 --group dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --universal --python-version 3.12 requirements/build.in -o requirements/build.txt
	$(LOCK) --universal --python-version 3.12 requirements/postgresql.in -o requirements/postgresql.txt
	$(LOCK) --universal --python-version 3.12 requirements/semantic.in -o requirements/semantic.txt
	$(LOCK) --python-version 3.13 requirements/clients.in -o requirements/clients.txt
	$(LOCK) --python-version 3.13 requirements/rivals.in -o requirements/rivals.txt
	npm install --prefix $(NODE) --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	npm install --prefix $(NODE_RIVALS) --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

clean:
	rm -rf $(VENV) $(CLIENTS) $(RIVALS) $(NODE)/node_modules $(NODE_RIVALS)/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
