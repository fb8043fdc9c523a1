"""Runs the command as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glacier_core import Store


@dataclass(frozen=True)
class Finished:
    """A finished run of the command."""

    store: Store
    result: dict[str, Any]
    stderr: str


def start(arguments: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a session of its own, as a terminal would."""
    return subprocess.Popen(
        [sys.executable, "-m", "glacier_pipelines.command", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "GLACIER_THREADS": "1", **environment},
        start_new_session=True,
    )


def run_json(arguments: list[str], cwd: Path, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Run the command with --json to its end: exit code, object, standard error."""
    process = start([*arguments, "--json"], cwd, **environment)
    stdout, stderr = process.communicate(timeout=280)
    lines = stdout.splitlines()
    assert len(lines) <= 1, f"standard output carries more than one object: {lines[:3]}"
    return process.returncode, json.loads(lines[0]) if lines else {}, stderr
