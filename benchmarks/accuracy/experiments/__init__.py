"""What is trained for docs/results.md, a module for each kind of work."""

from __future__ import annotations

from benchmarks.accuracy.declared import Table
from benchmarks.accuracy.experiments import classes, extent, front, ice_cover, motion

TABLES: tuple[Table, ...] = (*extent.TABLES, *classes.TABLES, *front.TABLES, *motion.TABLES, *ice_cover.TABLES)
"""Every table, in the order of the page."""
