"""Maps, rasters, plots and animations of a place's movement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glacier_core.report.product_page import Figure
from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.motion.forecasting import baseline_frames
from glacier_core.steps.kinds.motion.images import Images
from glacier_core.steps.kinds.motion.measuring import VELOCITY, velocities_in
from glacier_core.steps.kinds.motion.predicting import FRAMES, frames_in
from glacier_core.steps.kinds.series import metres_per_pixel
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step
from glacier_core.store import Output
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BEHIND = 7
"""Images at most that the picture behind a velocity map is the median of."""
ANIMATED = 24
"""Images of an animation at most."""


@dataclass(frozen=True)
class Place:
    """All that is drawn of one unit."""

    unit: SeriesUnit
    images: Images
    told: Mapping[str, Any]
    pairs: Sequence[Mapping[str, Any]]
    stem: str
    entry: Entry


def draw_place(step: Step, plan: Plan, place: Place, folder: Path) -> tuple[list[Figure], list[tuple[str, str]]]:
    """Figures of a place and the files that were written."""
    from glacier_core.report.motion import (
        VelocityMap,
        draw_pairs,
        draw_velocity,
        write_frames,
        write_velocity_raster,
    )

    told, images, name = place.told, place.images, place.unit.name
    factor, unit = float(told["per_px_day"]), str(told["speed_unit"])
    mean, on_ice = velocities_in(step.read(place.entry["refs"]["measure"]).read_bytes(VELOCITY))
    layers = _layers(mean, factor)
    period = f"{day(told['first'])} to {day(told['last'])}"
    for sub in ("velocity", "pairs", "next", "images"):
        (folder / sub).mkdir(exist_ok=True)
    made = {key: f"{key}/{place.stem}" for key in ("velocity", "pairs", "next", "images")}
    draw_velocity(
        folder / f"{made['velocity']}.png",
        VelocityMap(
            title=f"{name}, mean of {told['pairs']} pairs, {period}",
            image=_without_clouds(images),
            rows=mean.rows,
            columns=mean.columns,
            right=_where(on_ice, layers["vx"]),
            down=_where(on_ice, -layers["vy"]),
            spread=_where(on_ice, layers["spread"]),
            unit=unit,
            pixel_size_m=metres_per_pixel(place.unit.grid, plan.recipe),
        ),
    )
    write_velocity_raster(
        folder / f"{made['velocity']}.tif",
        grid=place.unit.grid,
        rows=mean.rows,
        columns=mean.columns,
        layers=layers,
        unit=unit,
    )
    draw_pairs(folder / f"{made['pairs']}.png", place.pairs, title=f"{name}, all pairs", factor=factor, unit=unit)
    draw_next(step.read(place.entry["refs"]["predict"]), images, plan, folder / f"{made['next']}.png")
    numbers = range(len(images.times))[-ANIMATED:]
    write_frames(
        folder / f"{made['images']}.gif",
        [images.read(number, number + 1)[0] for number in numbers],
        [f"{images.times[number]:%Y-%m-%d}" for number in numbers],
    )
    speeds = f"Velocity of {name} in {unit}, mean of {told['pairs']} pairs, {period}"
    figures = [
        Figure(f"{made['velocity']}.png", f"{speeds}; vectors that failed a test are left out.", f"Map: {speeds}"),
        Figure(
            f"{made['pairs']}.png",
            f"Median speed of {name} in each pair, over what both images show: clouds hide other parts each time.",
            f"Speed of {name} through time",
        ),
        Figure(
            f"{made['next']}.png",
            f"The last image of {name} as it came and as the network predicted it from those before.",
            f"Predicted and observed image of {name}",
        ),
        Figure(f"{made['images']}.gif", f"The images of {name}.", f"Animation of the images of {name}"),
    ]
    files = [
        (f"{made['velocity']}.tif", f"{name}: v, vx (east), vy (north), spread in {unit}, pairs; one pixel a vector"),
        (f"{made['velocity']}.png", f"{name}: velocity map"),
        (f"{made['pairs']}.png", f"{name}: speed of each pair"),
        (f"{made['next']}.png", f"{name}: predicted and observed image"),
        (f"{made['images']}.gif", f"{name}: the images one after the other"),
    ]
    return figures, files


def draw_next(predicted: Output, images: Images, plan: Plan, path: Path) -> None:
    """The first of the last images out, beside what came."""
    from glacier_core.report.motion import draw_forecast

    outputs, inputs = plan.recipe.sequences.outputs, plan.recipe.sequences.inputs
    target = len(images.times) - outputs
    values = images.read(target - inputs, target + 1)
    simple = baseline_frames(values[:inputs])
    draw_forecast(
        path,
        last=simple["no_change"],
        mean=simple["mean_of_inputs"],
        came=values[inputs],
        predicted=frames_in(predicted.read_bytes(FRAMES)).last[0],
        titles=(
            f"last image in, {images.times[target - 1]:%Y-%m-%d}",
            f"came, {images.times[target]:%Y-%m-%d}",
            f"predicted for {images.times[target]:%Y-%m-%d}",
        ),
        label=" - ".join(images.shown.bands) if len(images.shown.bands) == 1 else "normalised difference",
    )


def _layers(mean: Any, factor: float) -> dict[str, NDArray[np.float32]]:
    """The bands of the raster, in the recipe's unit, vy towards the north."""
    return {
        "v": mean.speed * factor,
        "vx": mean.vx * factor,
        "vy": -mean.vy * factor,
        "spread": mean.spread * factor,
        "pairs": mean.pairs.astype("float32"),
    }


def _where(on_ice: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return np.where(on_ice, values, np.float32(np.nan)).astype(np.float32)


def _without_clouds(images: Images) -> NDArray[np.float32]:
    """(H, W): the median of some images spread over the record, so that clouds of single dates do not show."""
    import warnings

    import numpy as np

    numbers = sorted(set(np.linspace(0, len(images.times) - 1, BEHIND).round().astype(int).tolist()))
    stack = np.concatenate([images.read(number, number + 1) for number in numbers])
    with warnings.catch_warnings():
        # where no image shows anything, NaN is what is wanted
        warnings.simplefilter("ignore", category=RuntimeWarning)
        return np.asarray(np.nanmedian(stack, axis=0), dtype=np.float32)


def day(text: str) -> str:
    """The day of an ISO time."""
    return text[:10]
