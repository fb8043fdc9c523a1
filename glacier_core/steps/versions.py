"""The version of each stage: raised by hand whenever its code changes what it makes.

A stage's version is that of its frame and of the parts of the library that it rests on, plus what the kind of work adds
to it. A test holds the fingerprints of both, and fails when one changed and no version of it did.
"""

from __future__ import annotations

from collections.abc import Mapping

STAGE_VERSIONS: dict[str, int] = {
    "simulate": 1,
    "ingest": 2,
    "prepare": 1,
    "label": 1,
    "sample": 1,
    "train": 2,
    "model": 2,
    "predict": 2,
    "evaluate": 1,
    "gate": 2,
    "measure": 1,
    "aggregate": 1,
    "report": 2,
    "training_report": 2,
    "cube": 1,
}

STAGE_MODULES: dict[str, tuple[str, ...]] = {
    "simulate": ("sources/simulated", "steps/archives.py"),
    "ingest": ("sources/stac.py", "cube", "steps/batches.py"),
    "prepare": ("cube", "prepare", "steps/batches.py"),
    "label": ("labels", "cube", "steps/batches.py"),
    "sample": ("samples", "steps/learning.py", "steps/splitting.py"),
    "train": ("models", "training", "samples", "steps/learning.py"),
    "model": ("steps/models.py",),
    "predict": ("models", "inference", "steps/batches.py", "steps/networks.py"),
    "evaluate": ("measure", "steps/evaluating.py"),
    "gate": ("registry/gating.py", "measure", "steps/gating.py"),
    "measure": ("labels", "measure", "steps/batches.py"),
    "aggregate": ("measure/trend.py", "steps/aggregating.py"),
    "report": ("report", "steps/reporting.py", "steps/provenance.py"),
    "training_report": ("report", "steps/reporting.py", "steps/cards.py"),
    "cube": (
        "cube",
        "sources",
        "prepare/coregistration",
        "steps/compositing.py",
        "steps/cube_building.py",
        "steps/cubing.py",
    ),
}
"""The modules below glacier_core whose code decides what a stage makes."""

KIND_VERSIONS: dict[str, Mapping[str, int]] = {
    "extent": {"evaluate": 2},
    "classes": {"train": 1, "evaluate": 1},
    "front": {"predict": 1, "evaluate": 1, "measure": 1, "report": 1},
    "motion": {"evaluate": 1, "measure": 1, "report": 1},
    "ice_cover": {"predict": 1, "evaluate": 1, "report": 1},
}
"""How often a kind's own code has changed what a stage makes, by stage; none: never."""


KIND_MODULES: dict[str, tuple[str, ...]] = {
    "extent": (
        "labels/dates.py",
        "labels/masks.py",
        "measure/areas.py",
        "measure/baselines.py",
        "measure/intervals.py",
        "measure/scores.py",
        "measure/terminus.py",
        "measure/trend.py",
        "prepare/composites.py",
        "prepare/normalisation.py",
        "samples/chips.py",
        "samples/splits.py",
    ),
    "classes": (
        "labels/classes.py",
        "labels/dates.py",
        "labels/masks.py",
        "measure/areas.py",
        "measure/classes",
        "prepare/features.py",
        "prepare/indices.py",
        "prepare/normalisation.py",
        "prepare/sun.py",
        "prepare/terrain.py",
        "prepare/topography.py",
        "samples/chips.py",
        "samples/class_chips.py",
    ),
    "front": (
        "labels/fronts.py",
        "labels/zones.py",
        "measure/fronts",
        "measure/scores.py",
        "measure/trend.py",
        "prepare/contrast.py",
        "prepare/normalisation.py",
        "samples/chips.py",
        "samples/front_warping.py",
        "samples/fronts.py",
        "samples/splits.py",
    ),
    "motion": (
        "labels/masks.py",
        "measure/motion",
        "measure/scores.py",
        "measure/similarity.py",
        "samples/chips.py",
        "samples/frame_sequences.py",
    ),
    "ice_cover": (
        "measure/areas.py",
        "measure/ice_cover",
        "measure/similarity.py",
        "samples/sequence_windows.py",
        "samples/sequences.py",
    ),
}
"""What a kind's stages use of the library beyond what `STAGE_MODULES` says of every kind: its predictions may measure,
its training may label."""


def kind_modules(kind: str) -> tuple[str, ...]:
    """The modules below glacier_core whose code decides what the stages make of a kind."""
    shared = () if kind == "extent" else ("steps/kinds/series.py", "steps/kinds/product_parts.py", "steps/splitting.py")
    return (f"steps/kinds/{kind}", *shared, *KIND_MODULES[kind])


def data_versions(kind: str) -> dict[str, int]:
    """Versions of the stages that make of files what samples are taken from: other versions, other digests."""
    return {stage: version_of(stage, kind) for stage in ("ingest", "cube", "prepare")}


def version_of(stage: str, kind: str) -> int:
    """The version of a stage for recipes of a kind; no kind where the stage is the same for all."""
    return STAGE_VERSIONS[stage] + KIND_VERSIONS.get(kind, {}).get(stage, 0)
