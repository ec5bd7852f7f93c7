"""Measures the gateway beside the bare CLI, in one run: `claude-code-api bench`. See docs/benchmarks.md."""
