#!/bin/sh
# Creates .venv from the hashed lock. usage: install.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
python=$1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo missing)
    echo "Python 3.11 or newer is needed; '$python' is $found. Try: make install PYTHON=python3.12" >&2
    exit 2
fi

"$python" -m venv .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
touch .venv/.installed
