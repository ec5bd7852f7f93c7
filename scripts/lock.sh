#!/bin/sh
# Compiles the two hashed lock files. Releases younger than a week are left out: a stolen release is usually found by
# then. The SDK that brings the `claude` program is pinned by hand in pyproject.toml, so the wait does not apply to it.
set -eu
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --exclude-newer "${EXCLUDE_NEWER:-1 week}" --exclude-newer-package "claude-agent-sdk=2099-01-01" "$@"
}

compile --output-file requirements/runtime.txt
compile --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
