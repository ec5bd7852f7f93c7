"""What each model accepts, and how a request becomes one that it accepts. Pure: no I/O but its own data file."""
