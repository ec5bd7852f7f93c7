#!/bin/sh
# Looks the locked packages up in the public list of weaknesses. The tool has its own environment. usage: audit.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh audit "${1:-}"
exec .venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt
