# One line for each target; the logic lives in scripts/. Needs Python 3.11 or newer, make and a package index.
PYTHON ?= python3
PORT ?= 8000
ARGS ?=
MINUTES ?= 5
KILLS ?= 300
BIN := .venv/bin
READY := .venv/.installed
CLIENTS := .venv-clients/.installed

.DEFAULT_GOAL := help
.PHONY: help install jail start start-dev start-prod demo test test-chat test-real test-clients fuzz faults crash soak bench load lint clean kill fmt types imports golden docs build sbom lock audit changelog

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

$(READY): requirements/dev.txt requirements/runtime.txt pyproject.toml
	@sh scripts/install.sh "$(PYTHON)"

install: $(READY) ## Create .venv with the locked packages

jail: ## Install bubblewrap, which the profiles shell and full need
	@sh scripts/install_jail.sh

start: $(READY) ## Serve on the loopback address
	$(BIN)/claude-code-api serve $(ARGS)

start-dev: $(READY) ## Serve on the loopback address with debug logs
	$(BIN)/claude-code-api serve --log-level debug $(ARGS)

start-prod: $(READY) ## Serve on every address of this machine
	$(BIN)/claude-code-api serve --host 0.0.0.0 $(ARGS)

demo: $(READY) ## Show a whole turn with no account and no network
	$(BIN)/claude-code-api demo $(ARGS)

test: $(READY) ## Run the whole test suite
	$(BIN)/python -m pytest $(ARGS)

test-chat: $(READY) ## Run the tests of the chat path
	$(BIN)/python -m pytest tests/http tests/dialects tests/flow $(ARGS)

test-real: $(READY) ## Run the bundled claude program against the stand-in
	$(BIN)/python -m pytest tests/real_cli $(ARGS)

$(CLIENTS): scripts/install_clients.sh requirements/clients.txt requirements/aider.txt clients/node/package-lock.json
	@sh scripts/install_clients.sh "$(PYTHON)"

test-clients: $(READY) $(CLIENTS) ## Run clients of many makers against the gateway; installs them first
	$(BIN)/python -m pytest -m clients tests/client_matrix $(ARGS)

fuzz: $(READY) ## Send thousands of made-up requests, for some minutes
	$(BIN)/python -m pytest -n 0 -s -m fuzz tests/http/test_made_up_requests.py tests/http/test_made_up_requests_by_key.py $(ARGS)

faults: $(READY) ## Kill everything at random moments, for some minutes
	$(BIN)/python -m pytest -m faults tests/faults tests/http/test_store_faults.py $(ARGS)

crash: $(READY) ## Kill the gateway KILLS (300) times while clients talk to it, and check what became of it
	$(BIN)/python -m tests.faults.crash.drive --kills $(KILLS) $(ARGS)

soak: $(READY) ## Compare thousands of requests with what has to reach the model, for some minutes
	$(BIN)/python -m pytest -n 0 -m faults tests/real_cli/test_seating.py $(ARGS)

bench: $(READY) ## Measure ratios against the claude program
	$(BIN)/claude-code-api bench $(ARGS)

load: $(READY) ## Put the gateway under load for MINUTES (5)
	$(BIN)/claude-code-api bench --load $(MINUTES) $(ARGS)

lint: $(READY) ## Check format, style, types and import contracts
	@sh scripts/lint.sh

fmt: $(READY) ## Format the code and apply safe fixes
	$(BIN)/ruff format && $(BIN)/ruff check --fix

types: $(READY) ## Check types
	$(BIN)/mypy

imports: $(READY) ## Check import contracts
	$(BIN)/lint-imports

golden: $(READY) ## Write the golden files of the dialects anew
	$(BIN)/python -m pytest -n 0 tests/dialects --update-golden $(ARGS)

docs: $(READY) ## Check that the documents agree with the code
	$(BIN)/python -m pytest -n 0 tests/architecture -k docs $(ARGS)

build: $(READY) ## Build the wheel, the source archive and the bill of materials into dist/
	$(BIN)/hatchling build
	$(BIN)/python scripts/sbom.py

sbom: $(READY) ## Write the bill of materials (CycloneDX) into dist/
	$(BIN)/python scripts/sbom.py $(ARGS)

lock: $(READY) ## Compile requirements/*.txt anew
	sh scripts/lock.sh

audit: ## Look for known weaknesses in the locked packages
	sh scripts/audit.sh "$(PYTHON)"

changelog: $(READY) ## Write CHANGELOG.md from changelog.d/
	$(BIN)/towncrier build --yes

kill: ## End the gateway that listens on PORT (8000)
	@"$(PYTHON)" scripts/kill_gateway.py "$(PORT)"

clean: ## Remove caches and build results; .venv stays
	@sh scripts/clean.sh
