"""Motion on real images: a known warp found again, a pair that was shifted, and a given field over bedrock.

Needs `motion/` of `GLACIER_DATA`. `--noise` adds noise to both images, as a part of the first one's standard deviation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recording import record
from glacier_core.labels import rasterize
from glacier_core.measure.motion import Tracking, over_stable_ground, read_given, track
from glacier_core.settings import Settings
from tests.measure.warped_images import Image, moved, smooth_motion

DAYS_A_YEAR = 365.25
BORDER_BELOW = 8
"""Green values of the black border of Perito Moreno's pictures."""
LIMIT_PX = 0.1


def images(motion: Path) -> Iterator[tuple[str, Image]]:
    """Name and image of every frame that is warped, whole, NaN where nothing was seen.

    Args:
        motion: the folder `motion` of `GLACIER_DATA`.
    """
    import rasterio
    from PIL import Image as Pictures

    for day in ("20200101", "20200121", "20200207", "20200222"):
        with Pictures.open(motion / f"perito_moreno/{day}.jpg") as picture:
            green = np.asarray(picture, dtype=np.float32)[..., 1]
        yield f"Perito Moreno {day}", np.where(green >= BORDER_BELOW, green, np.float32(np.nan))
    for number in range(4):
        yield f"Parvati NDSI {number}", np.load(motion / f"parvati_ndsi/frame_{number}.npy")[0].astype(np.float32)
    with rasterio.open(motion / "daugaard_jensen_sar/DJ_before.tiff") as file:
        yield "Daugaard-Jensen SAR", file.read(1).astype(np.float32)


def warped(name: str, image: Image, noise: float) -> dict[str, Any]:
    """Errors of the reliable vectors on an image and itself, moved smoothly by up to 3 px and dimmed."""
    motion = smooth_motion((image.shape[0], image.shape[1]))
    seen = np.isfinite(image)
    filled = np.where(seen, image, np.float32(np.nanmean(image)))
    draw = np.random.default_rng(0)
    sigma = noise * float(np.std(image[seen]))
    first, second = (
        pixels + draw.normal(0, sigma, image.shape).astype(np.float32) if noise else pixels
        for pixels in (filled, 0.8 * moved(filled, motion) + 10)
    )
    second_seen = moved(seen.astype(np.float32), motion) > 0.99
    started = time.perf_counter()
    field = track(first, second, first_seen=seen, second_seen=second_seen)
    seconds = time.perf_counter() - started
    dx, dy = motion(*np.meshgrid(field.rows, field.columns, indexing="ij"))
    errors = np.hypot(field.dx_px - dx, field.dy_px - dy)[field.reliable]
    matched = int(np.isfinite(field.dx_px).sum())
    return {
        "what": f"{name}, warped, noise {noise:g}",
        "vectors": matched,
        "reliable": round(field.reliable.sum() / max(matched, 1), 3),
        "median_error_px": round(float(np.median(errors)), 4),
        "p90_error_px": round(float(np.quantile(errors, 0.9)), 4),
        "seconds": round(seconds, 1),
    }


def shifted_pair(motion: Path) -> dict[str, Any]:
    """The radar pair whose second image was shifted, its source does not tell by how much: how alike vectors are."""
    import rasterio

    pair = []
    for name in ("before", "after"):
        with rasterio.open(motion / f"daugaard_jensen_sar/DJ_{name}.tiff") as file:
            pair.append(file.read(1).astype(np.float32))
    field = track(pair[0], pair[1], settings=Tracking(search_px=16))
    found = over_stable_ground(field.dx_px, field.dy_px, stable=field.reliable)
    return {"vectors": found.n, **{key: round(value, 4) for key, value in found.to_json().items() if key != "n"}}


def given_over_bedrock(motion: Path) -> dict[str, Any]:
    """Median and NMAD of the given Kaskawulsh velocity over bedrock, m/day, and its median speed on the glacier."""
    import geopandas

    folder = motion / "kaskawulsh_velocity"
    field = read_given(folder, files="*.tif", units="m/day")
    east, north = field.east / DAYS_A_YEAR, field.north / DAYS_A_YEAR

    def inside(name: str) -> NDArray[np.bool_]:
        return rasterize(geopandas.read_file(folder / name), field.grid)

    bedrock = over_stable_ground(east, north, stable=inside("bedrock_V2.shp"))
    speed = np.hypot(east, north)[inside("glacier_V1_Kaskawulsh_s_inwardBuffer600m.shp")]
    told = {key: round(value, 4) for key, value in bedrock.to_json().items() if key != "n"}
    return {"pixels": bedrock.n, **told, "median_glacier_speed": round(float(np.nanmedian(speed)), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.1])
    chosen = parser.parse_args()
    motion = Settings().data / "motion"
    if not motion.is_dir():
        raise SystemExit(f"GLACIER_DATA holds no motion ({motion})")
    rows = [warped(name, image, noise) for name, image in images(motion) for noise in chosen.noise]
    worst = max(row["median_error_px"] for row in rows if row["what"].endswith("noise 0"))
    record(
        "motion",
        rows=rows,
        figures={
            "worst_median_error_px": worst,
            "limit_px": LIMIT_PX,
            "holds": worst <= LIMIT_PX,
            "kaskawulsh_bedrock_m_per_day": given_over_bedrock(motion),
            "daugaard_jensen_pair_px": shifted_pair(motion),
        },
        remarks="A template of 48 px every 16 px, two passes, one thread. Warp: up to 3 px, smooth, with a shift of "
        "0.4 px. Each image is tracked against itself, warped and dimmed; noise as a part of its standard deviation.",
    )


if __name__ == "__main__":
    main()
