"""A unit's scenes become a cube, and the cube the year's image: clouds masked, composited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glacier_core.errors import UnitError, WithheldError
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, log, reference
from glacier_core.units import Unit

SCENES = "scenes.zarr"
IMAGE = "image.zarr"


def ingested(step: Step, plan: Plan, unit: Unit) -> str:
    """The unit's cube of scenes; its reference."""
    imagery = plan.recipe.imagery

    def make(attempt: Any) -> None:
        from glacier_core.cube import DIGITAL_NUMBER, REFLECTANCE, make_cube, write_cube
        from glacier_core.sources.stac import read_scenes

        scenes, troubles = read_scenes(
            [plan.shared["scenes"][scene]["item"] for scene in unit.scenes],
            bands=imagery.all_bands(),
            mask=imagery.mask,
            grid=unit.grid,
        )
        for trouble in troubles:
            log.info("[ingest] %s: scene %s left out: %s", unit.unit_id, trouble.scene, trouble.reason)
        passing = [trouble for trouble in troubles if trouble.temporary]
        if passing:
            # published, a cube without them would be reused long after the service is back
            raise UnitError(f"{unit.unit_id}: {passing[0].reason}", do="run the same command again later")
        attempt.write_json("troubles.json", [{"scene": t.scene, "reason": t.reason} for t in troubles])
        if not scenes.sizes["time"]:
            raise WithheldError(f"no scene of {unit.unit_id} can be read ({'; '.join(t.reason for t in troubles)})")
        extra: dict[str, Any] = {"scene": (("time",), scenes["scene"].values.astype(str), {"long_name": "STAC item"})}
        if imagery.mask:
            extra["scene_class"] = (
                ("time", "y", "x"),
                scenes["scene_class"].values,
                {"long_name": "scene classification"},
            )
        cube = make_cube(
            grid=unit.grid,
            times=scenes["time"].values,
            bands=list(imagery.all_bands()),
            imagery=scenes["imagery"].values,
            # reflectance lies between 0 and about 1.5; uncalibrated imagery is kept as the digital numbers that it is
            packing=REFLECTANCE if float(scenes["imagery"].max()) < 5 else DIGITAL_NUMBER,
            extra=extra,
        )
        write_cube(attempt.path(SCENES), cube)

    part = {
        "bands": list(imagery.all_bands()),
        "mask": imagery.mask,
        "grid": unit.grid.to_json(),
        "scenes": [plan.shared["scenes"][scene]["fingerprint"] for scene in unit.scenes],
    }
    return reference(step.build("ingest", part=part, inputs=[], make=make))


def prepared(step: Step, plan: Plan, unit: Unit, entry: Mapping[str, Any]) -> str:
    """The unit's image of the year; its reference."""
    imagery = plan.recipe.imagery
    scenes = step.read(entry["refs"]["ingest"])
    target = plan.recipe.mid_season(unit.year)

    def make(attempt: Any) -> None:
        from glacier_core.cube import open_cube, write_cube
        from glacier_core.prepare import yearly_image

        image = yearly_image(open_cube(scenes.path(SCENES)), how=imagery.composite, target=target)
        left_out = [*scenes.read_json("troubles.json"), *json.loads(image.attrs["scenes_left_out"])]
        attempt.write_json("scenes.json", {"used": json.loads(image.attrs["scenes_used"]), "left_out": left_out})
        write_cube(attempt.path(IMAGE), image)

    part = {"composite": imagery.composite, "target": target.date().isoformat()}
    return reference(step.build("prepare", part=part, inputs=[reference(scenes)], make=make))
