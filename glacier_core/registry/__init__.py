"""The model registry in MLflow, and the gate before its alias champion."""

from glacier_core.registry.gating import Verdict, gate
from glacier_core.registry.recording import Registration
from glacier_core.registry.registries import Registry
from glacier_core.registry.studies import ClaimedTrial, Study, TrialPrunedError, TrialRecord
from glacier_core.registry.tracking import LiveRun, live_run
from glacier_core.registry.versions import ModelVersionRef

__all__ = [
    "ClaimedTrial",
    "LiveRun",
    "ModelVersionRef",
    "Registration",
    "Registry",
    "Study",
    "TrialPrunedError",
    "TrialRecord",
    "Verdict",
    "gate",
    "live_run",
]
