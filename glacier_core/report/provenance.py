"""What pages say of where their figures come from, and of what gave none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def grouped_reasons(withheld: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Units without a result, those of one state and reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in withheld:
        groups.setdefault((entry["state"], entry["reason"]), []).append(entry["unit"])
    return [
        {"state": state, "reason": reason, "units": sorted(units)} for (state, reason), units in sorted(groups.items())
    ]


def package_versions(lineage: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Package versions behind the products: the most frequent one of each."""
    counted: dict[str, Counter[str]] = {}
    for entry in lineage:
        for name, version in dict(entry.get("packages") or {}).items():
            counted.setdefault(name, Counter())[str(version)] += 1
    return [(name, versions.most_common(1)[0][0]) for name, versions in sorted(counted.items())]
