#!/bin/sh
# Makes ready what the client tests run: .venv-clients (Python clients, and Node), clients/node/node_modules,
# .venv-aider. Nothing of it is needed for anything else. usage: install_clients.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
asked=${1:-}

sh scripts/install.sh clients "$asked"
# It pins everything that it uses, and refuses newer Pythons.
sh scripts/install.sh aider "$asked"

# Node comes from its wheel, so that its version is the locked one. No package runs a script of its own here. `ci` takes
# every package from the lock, by its hash, and asks for no newer one. The copy is made last, so it tells what is there.
cd clients/node
if ! cmp -s package-lock.json node_modules/.installed-lock; then
    echo "Installing the clients in Node."
    PATH="$PWD/../../.venv-clients/bin:$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
    cp package-lock.json node_modules/.installed-lock
fi
