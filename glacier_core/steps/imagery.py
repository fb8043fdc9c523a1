"""`ingest`: a unit's scenes become a cube. `prepare`: the cube becomes the year's image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from glacier_core.errors import UnitError, WithheldError
from glacier_core.steps.plans import Plan, read_batch, read_plan
from glacier_core.steps.running import Step, log, reference, running
from glacier_core.units import Unit

SCENES = "scenes.zarr"
IMAGE = "image.zarr"


def ingest(*, store: str, run: str, batch: str) -> str:
    """Read the scenes of a batch's units into cubes.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        batch: `<plan digest>/<batch number>`.

    Returns:
        The reference of the batch's manifest.
    """
    digest, _, number = batch.rpartition("/")
    with running(store=store, run=run, stage="ingest") as step:
        plan = read_plan(step, f"plan/{digest}")
        entries = [
            {"unit": unit_id, "state": "done", "reason": "", "refs": {}} for unit_id in plan.batches[int(number)]
        ]
        results = step.over_units(entries, do=lambda entry: _ingest_unit(step, plan, plan.units[entry["unit"]]))
        return step.publish_batch(plan=plan.reference, batch=int(number), results=results)


def prepare(*, store: str, run: str, ingested: str) -> str:
    """Turn each unit's scenes into one image of the year: clouds masked, composited.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        ingested: reference of the batch's `ingest` manifest.
    """
    with running(store=store, run=run, stage="prepare") as step:
        manifest, plan = read_batch(step, ingested)
        results = step.over_units(
            manifest["units"], do=lambda entry: _prepare_unit(step, plan, plan.units[entry["unit"]], entry)
        )
        return step.publish_batch(plan=plan.reference, batch=manifest["batch"], results=results)


def _ingest_unit(step: Step, plan: Plan, unit: Unit) -> str:
    imagery = plan.recipe.imagery

    def make(attempt: Any) -> None:
        from glacier_core.cube import DIGITAL_NUMBER, REFLECTANCE, make_cube, write_cube
        from glacier_core.sources.stac import read_scenes

        scenes, troubles = read_scenes(
            [plan.scenes[scene]["item"] for scene in unit.scenes],
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
        "scenes": [plan.scenes[scene]["fingerprint"] for scene in unit.scenes],
    }
    return reference(step.build("ingest", part=part, inputs=[], make=make))


def _prepare_unit(step: Step, plan: Plan, unit: Unit, entry: Mapping[str, Any]) -> str:
    imagery = plan.recipe.imagery
    ingested = step.read(entry["refs"]["ingest"])
    target = plan.recipe.mid_season(unit.year)

    def make(attempt: Any) -> None:
        from glacier_core.cube import open_cube, write_cube
        from glacier_core.prepare import yearly_image

        image = yearly_image(open_cube(ingested.path(SCENES)), how=imagery.composite, target=target)
        left_out = [*ingested.read_json("troubles.json"), *json.loads(image.attrs["scenes_left_out"])]
        attempt.write_json("scenes.json", {"used": json.loads(image.attrs["scenes_used"]), "left_out": left_out})
        write_cube(attempt.path(IMAGE), image)

    part = {"composite": imagery.composite, "target": target.date().isoformat()}
    return reference(step.build("prepare", part=part, inputs=[reference(ingested)], make=make))
