#!/bin/sh
# Creates what the client tests run: .venv-clients (Python clients, and Node), clients/node/node_modules, .venv-aider.
# Nothing of it is needed for anything else. usage: install_clients.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
python=$1

install() {
    "$python" -m venv "$1"
    "$1/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$2"
}

install .venv-clients requirements/clients.txt
# Node comes from its wheel, so that its version is the locked one. No package runs a script of its own here.
(cd clients/node && PATH="$PWD/../../.venv-clients/bin:$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund)
# It pins everything that it uses, and refuses newer Pythons.
if "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then
    install .venv-aider requirements/aider.txt
else
    echo "aider needs Python 3.12 or older: its tests are left out." >&2
fi
touch .venv-clients/.installed
