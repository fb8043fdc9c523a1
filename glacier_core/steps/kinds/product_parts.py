"""What the products of several kinds have in common: outlines of grids, tables as files, the model on the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.steps.plans import Plan
from glacier_core.steps.tables import from_parquet
from glacier_core.store import Output

if TYPE_CHECKING:
    from glacier_core.grids import Grid


def footprint(grid: Grid) -> dict[str, Any] | None:
    """The corners of a grid as a GeoJSON polygon in degrees; None where it has no CRS.

    Args:
        grid: the grid; its outline meets no pole and not the antimeridian.
    """
    if not grid.crs:
        return None
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    forward = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return {"type": "Polygon", "coordinates": [[list(forward.transform(x, y)) for x, y in corners]]}


def table_files(aggregated: Output, folder: Path, what: Mapping[str, str]) -> list[tuple[str, str]]:
    """Write aggregated tables, as they are and as CSV.

    Args:
        aggregated: holds `<name>.parquet`.
        folder: where to.
        what: name of a table -> what it holds; tables that are not there are passed over.

    Returns:
        The files with what they hold.
    """
    found = []
    for name, text in what.items():
        if not aggregated.exists(f"{name}.parquet"):
            continue
        content = aggregated.read_bytes(f"{name}.parquet")
        (folder / f"{name}.parquet").write_bytes(content)
        from_parquet(content).to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        found += [(f"{name}.parquet", text), (f"{name}.csv", text)]
    return found


def model_told(plan: Plan) -> dict[str, Any]:
    """The plan's model as `ProductPage.model` shows it: name, version, alias, and whether it is the champion."""
    return {**{key: plan.model[key] for key in ("name", "version", "alias")}, "promoted": plan.promoted()}
