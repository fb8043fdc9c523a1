"""`prepare`: bands, indices and terrain of a unit on one grid, image by image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import ConfigurationError, SceneError, UnitError
from glacier_core.recipes import ClassesRecipe, StacScenes
from glacier_core.steps.cubing import CUBE
from glacier_core.steps.kinds.classes import truths
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from glacier_core.grids import Grid

FEATURES = "features.zarr"
KEPT_LABELS = ("frame", "sensor", "platform", "scene")
"""What cubes say of each image that is kept beside the features."""


def channels_of(recipe: ClassesRecipe, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Names of what the model sees of one image.

    Args:
        recipe: the recipe.
        bands: bands of the images, where the recipe names none.
    """
    from glacier_core.prepare.features import feature_names

    return feature_names(
        recipe.spectral_bands() or bands,
        indices=recipe.features.indices,
        terrain=recipe.terrain.features if recipe.terrain else (),
        place=recipe.features.place,
    )


def prepared(step: Step, plan: Plan, unit: SeriesUnit, entry: Mapping[str, Any]) -> str:
    """The unit's cube of features; its reference."""
    recipe: ClassesRecipe = plan.recipe
    cube = step.read(entry["refs"]["ingest"])
    simulated = recipe.terrain is not None and not (recipe.terrain.files or recipe.terrain.collection)
    truth = truths.simulated_truth(step, recipe) if simulated else ""
    heights = _height_files(recipe, unit, plan.shared["catalog"]) if not simulated else []

    def make(attempt: Any) -> None:
        with ExitStack() as stack:
            folders = [stack.enter_context(step.read(truth).local())] if truth else []
            files = [*heights, *(str(path) for folder in folders for path in sorted((folder / "dem").glob("*.tif")))]
            told = _write(recipe, unit, cube.path(CUBE), attempt.path(FEATURES), files)
        attempt.write_json("features.json", told)

    part = {
        "features": recipe.features.model_dump(mode="json"),
        "terrain": recipe.terrain.model_dump(mode="json") if recipe.terrain else None,
        "heights": [_state(path) for path in heights],
    }
    inputs = [reference(cube), *([truth] if truth else [])]
    return reference(step.build("prepare", part=part, inputs=inputs, make=make))


def _height_files(recipe: ClassesRecipe, unit: SeriesUnit, catalog: str) -> list[str]:
    """Paths or links of the DEMs of a unit, where they are not the simulation's."""
    if recipe.terrain is None:
        return []
    if recipe.terrain.collection and isinstance(recipe.imagery, StacScenes):
        from glacier_core.sources.dem import find_dems

        return find_dems(catalog or recipe.path(recipe.imagery.catalog), recipe.terrain.collection, unit.grid)
    pattern = recipe.terrain.files.replace("{place}", unit.name)
    found = sorted(str(path) for path in Path(recipe.data).glob(pattern) if path.is_file())
    if not found:
        raise UnitError(f"{unit.name} has no DEM ({pattern})", expected="one beside the imagery", do="add it")
    return found


def _state(path: str) -> list[str]:
    """What tells that a DEM has changed: the file's state, or the link."""
    from glacier_core.sources.series import file_version

    return [path] if "://" in path else [Path(path).name, file_version(Path(path))]


def _write(recipe: ClassesRecipe, unit: SeriesUnit, source: str, target: str, files: list[str]) -> dict[str, Any]:
    """Write the features, strip by strip where nothing needs a whole image; what a person may want to know of them."""
    from glacier_core.cube import create_cube, open_cube, open_pixels

    cube, pixels = open_cube(source), open_pixels(source)
    bands = recipe.spectral_bands() or pixels.bands
    wanted = tuple(dict.fromkeys((*bands, *_of_indices(recipe, pixels.bands))))
    height = _heights(unit.grid, files) if files else None
    static = _static(recipe, unit.grid, height)
    told: dict[str, Any] = {"corrections": []}
    writer = create_cube(
        target,
        grid=unit.grid,
        times=cube["time"].values,
        bands=channels_of(recipe, pixels.bands),
        packing=None,
        labels={name: [str(text) for text in cube[name].values] for name in KEPT_LABELS if name in cube.coords},
        masks={},
        attrs={"dated": int(cube.attrs.get("dated", 1)), "place": unit.name},
        strip_bytes=recipe.memory_mb * 2**20 // 8,
    )
    correcting = recipe.terrain is not None and recipe.terrain.correct
    if correcting and all(str(time)[11:19] == "00:00:00" for time in cube["time"].values):
        raise ConfigurationError(
            f"the images of {unit.name} tell no time of day, and terrain.correct needs to know where the sun stood",
            expected="scenes with their time of acquisition",
            do="leave terrain.correct out",
        )
    measures = dict(zip(pixels.bands, json.loads(str(cube.attrs["quantities"])), strict=True))
    # light that falls on slopes makes reflectance, and no temperature
    reflecting = {number: band for number, band in enumerate(wanted) if measures[band] == "reflectance"}
    with writer:
        times, rows, _ = writer.block
        strip = unit.grid.height if correcting else max(rows, recipe.memory_mb // 64 * rows)
        for first in range(0, writer.shape[0], times):
            shown = slice(first, min(first + times, writer.shape[0]))
            for top in range(0, unit.grid.height, strip):
                window = slice(top, min(top + strip, unit.grid.height))
                seen = pixels.physical(times=shown, bands=wanted, rows=window)
                if correcting and height is not None:
                    stamps = cube["time"].values[shown]
                    _correct(seen, reflecting, unit.grid, height, stamps, told["corrections"])
                found = _features(recipe, seen, wanted=wanted, bands=bands, static=static[:, window])
                writer.write(shown, window, slice(0, unit.grid.width), found)
    return told


def _of_indices(recipe: ClassesRecipe, bands: tuple[str, ...]) -> list[str]:
    """Bands that the indices need, by the names that they have in the cube."""
    from glacier_core.prepare import INDICES

    by_common = {recipe.features.common_name(band): band for band in reversed(bands)}
    needed = [common for name in recipe.features.indices for common in INDICES[name].bands]
    missing = sorted({common for common in needed if common not in by_common})
    if missing:
        raise ConfigurationError(
            f"features.indices need {', '.join(missing)}, which no band of the imagery is ({', '.join(bands)})",
            expected="bands named by what they see",
            do="say it in features.common_names",
        )
    return [by_common[common] for common in needed]


def _heights(grid: Grid, files: list[str]) -> NDArray[np.float32]:
    """Heights of the files that meet the grid, each filling what those before it leave open."""
    from glacier_core.sources.dem import read_dem

    found = np.full(grid.shape, np.nan, np.float32)
    troubles: list[str] = []
    for file in files:
        try:
            own = read_dem(file, grid)
        except SceneError as error:
            troubles.append(str(error))
            continue
        np.copyto(found, own, where=np.isnan(found))
        if np.isfinite(found).all():
            break
    if not np.isfinite(found).any():
        raise UnitError(troubles[0] if troubles else "there is no DEM", do="add one that covers the unit")
    return found


def _static(recipe: ClassesRecipe, grid: Grid, height: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Channels that all images share, (channel, y, x)."""
    from glacier_core.prepare.features import place_channels, terrain_channels

    found = [np.empty((0, *grid.shape), np.float32)]
    if recipe.terrain and height is not None:
        found.append(terrain_channels(height, grid, features=recipe.terrain.features))
    if recipe.features.place:
        found.append(place_channels(grid.shape))
    return np.concatenate(found)


def _features(
    recipe: ClassesRecipe,
    seen: NDArray[np.float32],
    *,
    wanted: tuple[str, ...],
    bands: tuple[str, ...],
    static: NDArray[np.float32],
) -> NDArray[np.float32]:
    """All channels of some images, (time, channel, y, x); NaN throughout where a band was not seen."""
    from glacier_core.prepare.features import index_channels

    made = []
    for image in seen:
        indices = index_channels(
            image, bands=wanted, common=recipe.features.common_name, indices=recipe.features.indices
        )
        # where neither band holds light there is no ratio of them, and the pixel was seen all the same
        indices = np.nan_to_num(indices, nan=0.0)
        chosen = image[[wanted.index(band) for band in bands]]
        whole = np.concatenate([chosen, indices, static])
        whole[:, ~np.isfinite(image).all(axis=0)] = np.nan
        made.append(whole)
    return np.stack(made).astype(np.float32)


def _middle(grid: Grid) -> tuple[float, float]:
    """Longitude and latitude of a grid's middle."""
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform((left + right) / 2, (bottom + top) / 2)
    return float(longitude), float(latitude)


def _correct(
    seen: NDArray[np.float32],
    bands: Mapping[int, str],
    grid: Grid,
    height: NDArray[np.float32],
    stamps: NDArray[np.datetime64],
    told: list[dict[str, Any]],
) -> None:
    """Make images, in place, as if their ground were level; bands whose fit says nothing stay as they are."""
    from glacier_core.prepare import Sun, c_correction, terrain_gradient

    gradient = terrain_gradient(height, grid)
    longitude, latitude = _middle(grid)
    numbers = list(bands)
    for image, stamp in zip(seen, stamps, strict=True):
        moment = datetime.fromisoformat(str(stamp)[:19])
        sun = Sun.at(moment, longitude_deg=longitude, latitude_deg=latitude)
        correction = c_correction(image[numbers], gradient, sun, bands=tuple(bands.values()))
        told.append(
            {"time": str(stamp)[:19], "refused": [fit.band for fit in correction.fits if fit.verdict == "refused"]}
        )
        image[numbers] = correction.image
