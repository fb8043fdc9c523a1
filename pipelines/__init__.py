"""The pipelines, how they are run, and the command `glacier`."""
