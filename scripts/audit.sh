#!/bin/sh
# Looks the locked packages up in the public list of weaknesses. The tool has its own environment. usage: audit.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .venv-audit/bin/pip-audit ]; then
    "$1" -m venv .venv-audit
    .venv-audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit
fi
exec .venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.txt
