#!/bin/sh
# Runs every check and fails at the end, so that one run shows all that is wrong.
cd "$(dirname "$0")/.." || exit 1
status=0
check() {
    echo "== $*"
    ".venv/bin/$@" || status=1
}
check ruff format --check
check ruff check
check mypy
check lint-imports
# Names, sizes, and documents in step with the code.
check python -m pytest -q -n 0 tests/architecture
exit $status
