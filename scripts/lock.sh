#!/bin/sh
# Compiles the hashed lock files. Releases younger than a week are left out: a stolen release is usually found by
# then. The SDK that brings the `claude` program is pinned by hand in pyproject.toml, so the wait does not apply to it.
set -eu
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --exclude-newer "${EXCLUDE_NEWER:-1 week}" --exclude-newer-package "claude-agent-sdk=2099-01-01" "$@"
}

compile pyproject.toml --output-file requirements/runtime.txt
compile pyproject.toml --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
# What talks with the gateway from an environment of its own shares nothing with it.
compile --group clients --output-file requirements/clients.txt
compile --group aider --output-file requirements/aider.txt
