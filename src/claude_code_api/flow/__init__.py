"""How a turn is run: verbs. Async, and it knows only protocols: no HTTP, no process, no database."""
