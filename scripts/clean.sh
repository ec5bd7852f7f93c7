#!/bin/sh
# Removes what builds and checks leave behind.
set -eu
cd "$(dirname "$0")/.."
rm -rf build dist .venv-audit .venv-clients .venv-aider clients/node/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
find . -path './.venv*' -prune -o -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +
