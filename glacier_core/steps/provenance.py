"""What products say about themselves: what they were made from, and what is not in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step
from glacier_core.store import Output

UNIT_STAGES = ("ingest", "cube", "prepare", "label", "predict", "measure")


def lineage(step: Step, roots: Sequence[str]) -> list[dict[str, Any]]:
    """The outputs that stand behind others, one entry each, without the thousands of units' own.

    Args:
        step: the running stage.
        roots: references to begin with.
    """
    seen: dict[str, Output] = {}
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if found in seen or found.split("/")[0] in UNIT_STAGES:
            continue
        seen[found] = step.read(found)
        waiting.extend(seen[found].record["inputs"])
    return [
        {
            "stage": output.stage,
            "digest": output.digest,
            "inputs": [link for link in output.record["inputs"] if link.split("/")[0] not in UNIT_STAGES],
            "packages": output.record["packages"],
            "image": output.record["image"],
            "threads": output.record["threads"],
        }
        for _, output in sorted(seen.items())
    ]


def withheld(plan: Plan, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Units without a result, and what the plan left out, with reasons."""
    told = [{key: entry[key] for key in ("unit", "state", "reason")} for entry in entries if entry["state"] != "done"]
    return [*plan.left_out, *told]
