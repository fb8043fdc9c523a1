"""Measurements of motion that train nothing: a known warp found again, and a given field over bedrock."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks import bench_motion


def known_warp(data: Path) -> list[tuple[str, str]]:
    """Displacement errors on real images and themselves, moved smoothly by up to 3 pixels.

    Args:
        data: the folder of `GLACIER_DATA`.

    Returns:
        (what, value as text); the median error of each image, and the worst beside what is asked for.
    """
    rows = [bench_motion.warped(name, image, 0.0) for name, image in bench_motion.images(data / "motion")]
    medians = [row["median_error_px"] for row in rows]
    holds = "held" if max(medians) <= bench_motion.LIMIT_PX else "missed"
    return [
        (
            f"median error of {len(rows)} images, worst",
            f"{max(medians):.3f} px (at most {bench_motion.LIMIT_PX}: {holds})",
        ),
        (f"median error of {len(rows)} images, median", f"{statistics.median(medians):.3f} px"),
        ("90th percentile, worst image", f"{max(row['p90_error_px'] for row in rows):.3f} px"),
        ("vectors taken for reliable, worst image", f"{min(row['reliable'] for row in rows):.1%}"),
    ]


def bedrock(data: Path) -> list[tuple[str, str]]:
    """What the given Kaskawulsh velocity says of bedrock, which does not move.

    Args:
        data: the folder of `GLACIER_DATA`.

    Returns:
        (what, value as text).
    """
    found = bench_motion.given_over_bedrock(data / "motion")
    return [
        ("median over bedrock, east", f"{found['median_x']:.4f} m/day"),
        ("median over bedrock, north", f"{found['median_y']:.4f} m/day"),
        ("NMAD over bedrock, east", f"{found['nmad_x']:.4f} m/day"),
        ("NMAD over bedrock, north", f"{found['nmad_y']:.4f} m/day"),
        ("bedrock pixels", f"{found['pixels']}"),
        ("median speed of the glacier", f"{found['median_glacier_speed']:.3f} m/day"),
    ]
