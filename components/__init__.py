"""One thin kfp component a stage; each calls one function of `glacier_core.steps`."""

from glacier_components.aggregate import aggregate
from glacier_components.evaluate import evaluate
from glacier_components.gate import gate
from glacier_components.ingest import ingest
from glacier_components.label import label
from glacier_components.measure import measure
from glacier_components.plan import plan
from glacier_components.predict import predict
from glacier_components.prepare import prepare
from glacier_components.promote import promote
from glacier_components.register import register
from glacier_components.report import report
from glacier_components.sample import sample
from glacier_components.train import train
from glacier_components.training_report import training_report

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
    "train",
    "training_report",
]
