"""Outlines become masks on the grid of each unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glacier_core.errors import WithheldError
from glacier_core.steps.kinds.extent.grounds import Grounds, nearby
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import Unit

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

LABELS = "labels.zarr"


def labelled(step: Step, plan: Plan, unit: Unit, frames: tuple[GeoDataFrame, GeoDataFrame], grounds: Grounds) -> str:
    """Masks of the outlines that may serve as truth for a unit; their reference.

    Args:
        step: the running stage.
        plan: the plan.
        unit: the unit.
        frames: all outlines, and those of several dates (EPSG:4326).
        grounds: gives the ground of each unit.
    """
    outlines, dated = (nearby(frame, unit) for frame in frames)
    tolerance = plan.recipe.labels.tolerance_days

    def make(attempt: Any) -> None:
        import numpy as np

        from glacier_core.cube import make_mask_cube, write_cube
        from glacier_core.labels import label_at, rasterize

        when = plan.recipe.mid_season(unit.year)
        masks = {}
        attributes: dict[str, Any] = {}
        for name, frame in (("ice", outlines), ("reference", dated)):
            chosen = label_at(frame, when=when, tolerance_days=tolerance)
            own = chosen.of(unit.glacier_id)
            if own is None:
                raise WithheldError(f"{unit.unit_id} has no dated outline")
            masks[name] = rasterize(chosen.outlines, unit.grid).astype(np.uint8)
            attributes[name] = {"date": own.date.isoformat(), "age_days": own.age_days, "stale": own.stale}
        ground = grounds.of(unit)
        masks["outline"], masks["domain"] = ground.outline.astype(np.uint8), ground.domain.astype(np.uint8)
        attempt.write_json("labels.json", attributes)
        write_cube(attempt.path(LABELS), make_mask_cube(grid=unit.grid, masks=masks))

    part = {
        "glacier": unit.glacier_id,
        "year": unit.year,
        "season": list(plan.recipe.season),
        "grid": unit.grid.to_json(),
        "tolerance_days": tolerance,
        "buffer_m": grounds.buffer_m,
        "outlines": _digest_of_frame(outlines),
        "reference": _digest_of_frame(dated),
    }
    return reference(step.build("label", part=part, inputs=[], make=make))


def _digest_of_frame(frame: GeoDataFrame) -> str:
    from glacier_core.store import digest_of

    rows = sorted(
        (str(glacier), str(date), geometry.wkb_hex)
        for glacier, date, geometry in zip(frame["glacier_id"], frame["date"], frame.geometry, strict=True)
    )
    return digest_of(rows)
