"""The stages: the only functions that components call.

Each takes the store's URL, the run's identifier and references to what earlier stages published, and returns a
reference (or a list of them). Pixels never travel between stages.
"""

from __future__ import annotations

from glacier_core.steps.aggregating import aggregate
from glacier_core.steps.batches import ingest, label, measure, predict, prepare
from glacier_core.steps.evaluating import evaluate, score
from glacier_core.steps.learning import sample, train
from glacier_core.steps.models import gate, promote, register
from glacier_core.steps.planning import plan
from glacier_core.steps.reporting import report, training_report

__all__ = [
    "aggregate",
    "evaluate",
    "gate",
    "ingest",
    "label",
    "measure",
    "plan",
    "predict",
    "prepare",
    "promote",
    "register",
    "report",
    "sample",
    "score",
    "train",
    "training_report",
]
