"""The environment's settings in one typed object. Credentials are taken by reference: only their owners read them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What differs between a laptop and a cluster. Each field is read from `GLACIER_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="GLACIER_", extra="ignore")

    store: str = Field(default="work/store", description="fsspec URL or folder of the store")
    tracking: str = Field(default="", description="MLflow tracking URI; empty: SQLite beside the store")
    sweeps: str = Field(
        default="", description="where sweeps are kept: database URL or folder; empty: folder `sweeps` beside the store"
    )
    data: Path = Field(default=Path("../shared/data"), description="folder of local satellite data")
    requests_per_s: float = Field(
        default=20.0, ge=0, description="requests a second to STAC catalogs, token services and assets; 0: no limit"
    )
    threads: int = Field(default=0, ge=0, description="threads for each process; 0: one a core")
    image: str = Field(default="", description="digest of the container image that runs, recorded in every product")

    def thread_count(self) -> int:
        """Threads that a process may use."""
        return self.threads or len(os.sched_getaffinity(0))
