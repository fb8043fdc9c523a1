"""What is trained for docs/results.md, a module for each kind of work."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.accuracy.declared import Table
from benchmarks.accuracy.experiments import classes, extent, front, ice_cover, motion

TABLES: tuple[Table, ...] = (*extent.TABLES, *classes.TABLES, *front.TABLES, *motion.TABLES, *ice_cover.TABLES)
"""Every table, in the order of the page."""

_NETWORK = "its images come from a service on the network, and tables are made of files that lie in `GLACIER_DATA`"
ELSEWHERE: Mapping[str, str] = {
    "caffe-front": "CaFFe (doi:10.1594/PANGAEA.940950) does not lie in `GLACIER_DATA`",
    "crane-front": "the same",
    "gangotri": _NETWORK,
    "himalaya-classes": _NETWORK,
    "parvati-motion": _NETWORK,
    "antarctic-ice-cover": "its monthly fields are fetched from NSIDC, and tables are made of files in `GLACIER_DATA`",
}
"""Why a shipped recipe that can be trained stands in no table."""
