"""The version of each stage: raised by hand whenever its code changes what it makes.

A test holds the fingerprint of each stage's modules, and fails when they changed and the version did not.
"""

from __future__ import annotations

STAGE_VERSIONS: dict[str, int] = {
    "simulate": 1,
    "ingest": 2,
    "prepare": 1,
    "label": 1,
    "sample": 1,
    "train": 1,
    "model": 1,
    "predict": 1,
    "evaluate": 1,
    "gate": 1,
    "measure": 1,
    "aggregate": 1,
    "report": 1,
    "training_report": 1,
    "cube": 1,
}

STAGE_MODULES: dict[str, tuple[str, ...]] = {
    "simulate": ("sources/simulated",),
    "ingest": ("sources/stac.py", "cube", "steps/imagery.py"),
    "prepare": ("cube", "prepare", "steps/imagery.py"),
    "label": ("labels", "cube", "steps/grounds.py", "steps/labelling.py"),
    "sample": ("samples", "steps/learning.py"),
    "train": ("models", "training", "samples", "steps/learning.py"),
    "model": ("steps/models.py",),
    "predict": ("models", "inference", "steps/predicting.py"),
    "evaluate": ("measure", "steps/evaluating.py"),
    "gate": ("registry/gating.py", "measure", "steps/gating.py"),
    "measure": ("labels", "measure", "steps/grounds.py", "steps/measuring.py"),
    "aggregate": ("measure/trend.py", "steps/measuring.py"),
    "report": ("report", "steps/reporting.py"),
    "training_report": ("report", "steps/reporting.py"),
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
