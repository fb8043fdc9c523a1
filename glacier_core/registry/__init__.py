"""The model registry in MLflow, and the gate before its alias champion."""

from glacier_core.registry.gating import Verdict, gate
from glacier_core.registry.recording import Registration
from glacier_core.registry.registries import Registry
from glacier_core.registry.versions import ModelVersionRef

__all__ = ["ModelVersionRef", "Registration", "Registry", "Verdict", "gate"]
