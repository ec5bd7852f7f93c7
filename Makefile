# One line for each target; the logic lives in scripts/. Needs Python 3.11 or newer, make and a package index.
PYTHON ?= python3
# Empty unless asked for: an environment keeps the Python that it was made with.
ASKED := $(if $(filter file,$(origin PYTHON)),,$(PYTHON))
PORT ?= 8000
ARGS ?=
MINUTES ?= 5
KILLS ?= 300
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install runtime dev jail start start-dev start-prod demo test test-chat test-real test-clients test-install test-busy fuzz corpus faults crash soak bench bench-smoke load lint clean kill fmt types imports golden docs build sbom lock audit changelog

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

install: dev ## Make .venv ready for everything

# Both look each time, which takes half a second, and make .venv anew if it is damaged, half-made or of an older lock.
runtime: ## Make .venv ready for what starts the gateway
	@sh scripts/install.sh runtime "$(ASKED)"

dev: ## Make .venv ready for tests and checks as well
	@sh scripts/install.sh dev "$(ASKED)"

jail: ## Install bubblewrap, which the profiles shell and full need
	@sh scripts/install_jail.sh

start: runtime ## Serve on the loopback address
	$(BIN)/claude-code-api serve $(ARGS)

start-dev: runtime ## Serve on the loopback address with debug logs
	$(BIN)/claude-code-api serve --log-level debug $(ARGS)

start-prod: runtime ## Serve on every address of this machine
	$(BIN)/claude-code-api serve --host 0.0.0.0 $(ARGS)

demo: runtime ## Show a whole turn with no account and no network
	$(BIN)/claude-code-api demo $(ARGS)

test: dev ## Run the whole test suite
	$(BIN)/python -m pytest $(ARGS)

test-chat: dev ## Run the tests of the chat path
	$(BIN)/python -m pytest tests/http tests/dialects tests/flow $(ARGS)

test-real: dev ## Run the bundled claude program against the stand-in
	$(BIN)/python -m pytest tests/real_cli $(ARGS)

test-clients: dev ## Run clients of many makers against the gateway; installs them first
	@sh scripts/install_clients.sh "$(ASKED)"
	$(BIN)/python -m pytest -m clients tests/client_matrix $(ARGS)

fuzz: dev ## Send thousands of made-up requests, for some minutes
	$(BIN)/python -m pytest -n 0 -s -m fuzz tests/http/test_made_up_requests.py tests/http/test_made_up_requests_by_key.py tests/models/test_made_up_bodies.py $(ARGS)

corpus: dev ## Try every hostile text and repository in every profile, for some minutes
	$(BIN)/python -m pytest -m corpus tests/real_cli $(ARGS)

bench-smoke: dev ## Run the whole bench once
	$(BIN)/python -m pytest -n 0 -m bench tests/bench $(ARGS)

test-busy: dev ## Run the whole test suite beside four busy loops
	@sh scripts/test_busy.sh $(BIN)/python $(ARGS)

test-install: dev ## Install the real locks where everything has a newer release, for some minutes
	$(BIN)/python -m pytest -n 0 -s -m install tests/install $(ARGS)

faults: dev ## Kill everything at random moments, for some minutes
	$(BIN)/python -m pytest -m faults tests/faults tests/http/test_store_faults.py $(ARGS)

crash: dev ## Kill the gateway KILLS (300) times while clients talk to it, and check what became of it
	$(BIN)/python -m tests.faults.crash.drive --kills $(KILLS) $(ARGS)

soak: dev ## Compare thousands of requests with what has to reach the model, for some minutes
	$(BIN)/python -m pytest -n 0 -m faults tests/real_cli/test_seating.py $(ARGS)

bench: runtime ## Measure ratios against the claude program
	$(BIN)/claude-code-api bench $(ARGS)

load: runtime ## Put the gateway under load for MINUTES (5)
	$(BIN)/claude-code-api bench --load $(MINUTES) $(ARGS)

lint: dev ## Check format, style, types and import contracts
	@sh scripts/lint.sh

fmt: dev ## Format the code and apply safe fixes
	$(BIN)/ruff format && $(BIN)/ruff check --fix

types: dev ## Check types
	$(BIN)/mypy

imports: dev ## Check import contracts
	$(BIN)/lint-imports

golden: dev ## Write the golden files of the dialects anew
	$(BIN)/python -m pytest -n 0 tests/dialects --update-golden $(ARGS)

docs: dev ## Check that the documents agree with the code
	$(BIN)/python -m pytest -n 0 tests/architecture -k docs $(ARGS)

build: dev ## Build the wheel, the source archive and the bill of materials into dist/
	$(BIN)/hatchling build
	$(BIN)/python scripts/sbom.py

sbom: dev ## Write the bill of materials (CycloneDX) into dist/
	$(BIN)/python scripts/sbom.py $(ARGS)

lock: dev ## Compile requirements/*.txt anew
	sh scripts/lock.sh

audit: ## Look for known weaknesses in the locked packages
	@sh scripts/audit.sh "$(ASKED)"

changelog: dev ## Write CHANGELOG.md from changelog.d/
	$(BIN)/towncrier build --yes

kill: ## End the gateway that listens on PORT (8000)
	@"$(PYTHON)" scripts/kill_gateway.py "$(PORT)"

clean: ## Remove caches and build results; .venv stays
	@sh scripts/clean.sh
