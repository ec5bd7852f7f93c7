"""claude-code-api: the HTTP APIs that people's tools already speak, in front of the real Claude Code CLI."""

__version__ = "0.1.0"
