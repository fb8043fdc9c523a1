"""The stages: the only functions that components call.

Each takes the store's URL, the run's identifier and references to what earlier stages published, and returns a
reference (or a list of them). Pixels never travel between stages.
"""

from __future__ import annotations

from glacier_core.steps.evaluating import evaluate, score
from glacier_core.steps.imagery import ingest, prepare
from glacier_core.steps.labelling import label
from glacier_core.steps.learning import sample, train
from glacier_core.steps.measuring import aggregate, measure
from glacier_core.steps.models import gate, promote, register
from glacier_core.steps.planning import plan
from glacier_core.steps.predicting import predict
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
