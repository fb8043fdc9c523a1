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
    "model": 1,
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
    "extent": {"evaluate": 1},
    "classes": {},
    "front": {},
    "motion": {},
    "ice_cover": {},
}
"""How often a kind's own code has changed what a stage makes, by stage; none: never."""


def kind_modules(kind: str) -> tuple[str, ...]:
    """The modules below glacier_core whose code decides what the stages make of a kind."""
    shared = () if kind == "extent" else ("steps/kinds/series.py",)
    return (f"steps/kinds/{kind}", *shared)


def version_of(stage: str, kind: str) -> int:
    """The version of a stage for recipes of a kind; no kind where the stage is the same for all."""
    return STAGE_VERSIONS[stage] + KIND_VERSIONS.get(kind, {}).get(stage, 0)
