"""Measures the gateway beside the bare CLI, in one run: `python -m bench`. See docs/benchmarks.md."""
