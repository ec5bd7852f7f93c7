"""The scripts: each is a schema that was released, and how to get there from the one before."""
