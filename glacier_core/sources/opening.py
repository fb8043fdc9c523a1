"""From the imagery of a recipe to series: which function opens which source, and what its pixels were read from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from glacier_core.errors import ConfigurationError
from glacier_core.recipes import (
    AntarcticMelt,
    Caffe,
    CubeRecipe,
    Dem,
    FolderScenes,
    Frames,
    SeaIceIndex,
    SeaIceRecord,
    SimulatedFronts,
    SimulatedIceCover,
    SimulatedMotion,
    SimulatedScenes,
    StacScenes,
    Velocity,
)
from glacier_core.sources.reading import SceneTrouble
from glacier_core.sources.series import Series, file_version
from glacier_core.store import checksum_of, digest_of

DATACUBE_METADATA = ("", ".zmetadata", "zarr.json", ".zattrs")
"""Objects of a remote datacube, itself among them, that are asked for their state: listing its chunks takes minutes."""
OBJECT_STATE = ("size", "ETag", "LastModified", "last_modified", "mtime", "created", "updated", "md5Hash", "generation")
"""What storage services tell of an object's state, each by its own name."""

OnTrouble = Callable[[str, SceneTrouble], None]


def open_series(
    recipe: CubeRecipe, *, catalog: str = "", outlines: str = "", on_trouble: OnTrouble | None = None
) -> list[Series]:
    """The series of a recipe's imagery, in order of their names; no pixel is read yet.

    Args:
        recipe: the recipe.
        catalog: for scenes, a STAC catalog that replaces the recipe's; empty: the recipe's.
        outlines: for scenes, the outlines that replace the recipe's; empty: the recipe's.
        on_trouble: is told the series and the scene when, on reading, a scene is left out of a day whose others serve.

    Raises:
        ConfigurationError: the source is not there, or what the recipe names is not in it.
        DataError: nothing in it can be used.
        ServiceUnavailableError: it cannot be reached.
    """
    imagery = recipe.imagery
    if isinstance(imagery, SimulatedScenes | StacScenes | FolderScenes):
        from glacier_core.sources.scene_windows import open_scenes

        found: Sequence[Series] = open_scenes(
            recipe, imagery, catalog=catalog, outlines=outlines, on_trouble=on_trouble
        )
    else:
        if catalog:
            raise ConfigurationError(f"source '{imagery.source}' has no catalog", do="leave --catalog out")
        found = _OPENERS[type(imagery)](recipe, imagery)
    return sorted(found, key=lambda series: series.name)


def fingerprint(series: Series, *, files: str) -> dict[str, Any]:
    """What tells that a series would give other pixels than before: its frames, its masks and the files behind it.

    Args:
        series: the series.
        files: from `files_digest`.
    """
    masks = {name: checksum_of(mask.tobytes()) for name, mask in series.masks.items()}
    return {
        "name": series.name,
        "grid": series.grid.to_json(),
        "bands": list(series.bands),
        "quantities": list(series.quantities),
        "dated": series.dated,
        "frames": [[frame.id, frame.time.isoformat(), dict(frame.labels), frame.version] for frame in series.frames],
        "troubles": [[trouble.scene, trouble.reason] for trouble in series.troubles],
        "masks": masks,
        "attrs": json.loads(json.dumps(dict(series.attrs), default=str)),
        "files": files,
    }


def files_of(recipe: CubeRecipe) -> list[Path]:
    """The local files that a recipe's imagery may be read from, sorted; none for a source that is elsewhere.

    What is elsewhere, or was brought into a cache, tells by the versions of its frames that it has changed.
    """
    imagery = recipe.imagery
    if isinstance(imagery, Frames):
        return _matching(
            recipe.data, [imagery.files, *([imagery.mask.replace("{place}", "*")] if imagery.mask else [])]
        )
    if isinstance(imagery, Dem):
        return _matching(recipe.data, [imagery.files])
    if isinstance(imagery, Velocity):
        location = _location(recipe, imagery)
        # of a datacube every chunk counts, whatever the pattern says of a folder
        return _matching(location, ["**/*"] if location.rstrip("/").endswith(".zarr") else [imagery.files])
    if isinstance(imagery, SeaIceIndex | SeaIceRecord | AntarcticMelt | Caffe):
        return _matching(_location(recipe, imagery), ["**/*"])
    return []


def _location(recipe: CubeRecipe, imagery: SeaIceIndex | SeaIceRecord | AntarcticMelt | Caffe | Velocity) -> str:
    return recipe.path(imagery.location) if imagery.location else recipe.data


def _matching(folder: str, patterns: Iterable[str]) -> list[Path]:
    root = Path(folder)
    if "://" in folder or not root.is_dir():
        return [root] if root.is_file() else []
    return sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})


def files_digest(recipe: CubeRecipe) -> str:
    """A digest of names, sizes and content (large files: time of change) of the files that a recipe's imagery is."""
    return digest_of([(path.name, file_version(path)) for path in files_of(recipe)])


def _frames(recipe: CubeRecipe, imagery: Frames) -> Sequence[Series]:
    from glacier_core.sources.frames import FrameNames, FramePixels, open_frames

    return open_frames(
        Path(recipe.data),
        files=imagery.files,
        names=FrameNames(
            date_pattern=imagery.date_pattern,
            date=imagery.date,
            order=imagery.order,
            place_pattern=imagery.place_pattern,
            places=imagery.places,
        ),
        pixels=FramePixels(
            bands=imagery.bands,
            quantities=imagery.quantities,
            nodata=imagery.nodata,
            scale=imagery.scale,
            offset=imagery.offset,
            pixel_size_m=imagery.pixel_size_m,
            crs=imagery.crs,
            mask=imagery.mask,
        ),
    )


def _sea_ice_index(recipe: CubeRecipe, imagery: SeaIceIndex) -> Sequence[Series]:
    from glacier_core.sources.nsidc import sea_ice_index

    series = sea_ice_index(
        _location(recipe, imagery),
        hemisphere=imagery.hemisphere,
        months=_months(recipe),
        form=imagery.form,
        cache=Path(imagery.cache) if imagery.cache else None,
    )
    return [series]


def _sea_ice_record(recipe: CubeRecipe, imagery: SeaIceRecord) -> Sequence[Series]:
    from glacier_core.sources.nsidc import sea_ice_record

    series = sea_ice_record(
        _location(recipe, imagery),
        hemisphere=imagery.hemisphere,
        months=_months(recipe),
        near_real_time=recipe.path(imagery.near_real_time) if imagery.near_real_time else None,
        cache=Path(imagery.cache) if imagery.cache else None,
    )
    return [series]


def _antarctic_melt(recipe: CubeRecipe, imagery: AntarcticMelt) -> Sequence[Series]:
    from glacier_core.sources.nsidc import antarctic_melt

    location = _location(recipe, imagery)
    return [antarctic_melt(location, months=_months(recipe), min_valid_days=imagery.min_valid_days)]


def _months(recipe: CubeRecipe) -> tuple[str, str] | None:
    """First and last month that can be wanted; a season across New Year begins in the year before."""
    if recipe.years is None:
        return None
    first, last = recipe.years
    crosses = recipe.season is not None and recipe.season[0] > recipe.season[1]
    return f"{first - crosses}-01", f"{last}-12"


def _caffe(recipe: CubeRecipe, imagery: Caffe) -> Sequence[Series]:
    from glacier_core.sources.caffe import open_caffe

    return open_caffe(
        Path(_location(recipe, imagery)), splits=imagery.splits, scheme=imagery.scheme, patches=imagery.patches
    )


def _velocity(recipe: CubeRecipe, imagery: Velocity) -> Sequence[Series]:
    from glacier_core.sources.velocity import open_velocity

    location = _location(recipe, imagery)
    series = open_velocity(location, files=imagery.files, bands=imagery.bands, units=imagery.units, day=imagery.date)
    version = _remote_version(location) if "://" in location else ""
    return [replace(series, frames=tuple(replace(frame, version=version) for frame in series.frames))]


def _remote_version(url: str) -> str:
    """What a storage service tells of a datacube's state; the same for ever where it tells nothing."""
    import fsspec

    told = []
    for name in DATACUBE_METADATA:
        # what is not there, and a service that does not answer now, tell nothing
        with suppress(OSError, ValueError, ImportError):
            fs, path = fsspec.url_to_fs(f"{url.rstrip('/')}/{name}".rstrip("/"))
            state = fs.info(path)
            told.append((name, [(key, str(state[key])) for key in OBJECT_STATE if key in state]))
    return digest_of(told)


def _dem(recipe: CubeRecipe, imagery: Dem) -> Sequence[Series]:
    from glacier_core.sources.dem_series import open_dems

    return open_dems(Path(recipe.data), files=imagery.files, day=imagery.date)


def _simulated_motion(recipe: CubeRecipe, imagery: SimulatedMotion) -> Sequence[Series]:  # noqa: ARG001
    from glacier_core.sources.simulated.motion import open_simulated_motion

    return open_simulated_motion(imagery)


def _simulated_fronts(recipe: CubeRecipe, imagery: SimulatedFronts) -> Sequence[Series]:  # noqa: ARG001
    from glacier_core.sources.simulated.fronts import open_simulated_fronts

    return open_simulated_fronts(imagery)


def _simulated_ice_cover(recipe: CubeRecipe, imagery: SimulatedIceCover) -> Sequence[Series]:  # noqa: ARG001
    from glacier_core.sources.simulated.ice_cover import open_simulated_ice_cover

    return open_simulated_ice_cover(imagery)


_OPENERS: Mapping[type[Any], Callable[[CubeRecipe, Any], Sequence[Series]]] = {
    AntarcticMelt: _antarctic_melt,
    Caffe: _caffe,
    Dem: _dem,
    Frames: _frames,
    SeaIceIndex: _sea_ice_index,
    SeaIceRecord: _sea_ice_record,
    SimulatedFronts: _simulated_fronts,
    SimulatedIceCover: _simulated_ice_cover,
    SimulatedMotion: _simulated_motion,
    Velocity: _velocity,
}
