#!/bin/sh
# Compiles the hashed lock files. Releases younger than a week are left out: a stolen release is usually found by
# then. The SDK that brings the `claude` program is pinned by hand in pyproject.toml, so the wait does not apply to it.
# Wheels alone: what has to be built first would ask the index for its newest build tools.
set -eu
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: \
        --no-emit-index-url --no-emit-find-links --no-emit-build-options --custom-compile-command "make lock" \
        --exclude-newer "${EXCLUDE_NEWER:-1 week}" --exclude-newer-package "claude-agent-sdk=2099-01-01" "$@"
}

compile pyproject.toml --output-file requirements/runtime.txt
compile pyproject.toml --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
# Goes into the same .venv as one of these two, so it holds the same versions.
compile --group build --constraints requirements/dev.txt --output-file requirements/build.txt
# What talks with the gateway from an environment of its own shares nothing with it.
compile --group clients --output-file requirements/clients.txt
compile --group aider --output-file requirements/aider.txt
compile --group audit --output-file requirements/audit.txt

# Node's lock says which packages with which hashes, and not where they were fetched (clients/node/.npmrc).
if [ -x .venv-clients/bin/npm ]; then
    (cd clients/node && PATH="$PWD/../../.venv-clients/bin:$PATH" npm install --silent --package-lock-only --ignore-scripts)
else
    echo "clients/node/package-lock.json is as it was: make test-clients brings the npm that writes it." >&2
fi
