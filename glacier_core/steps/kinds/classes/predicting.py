"""`predict`: the probability of each class in each image of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from glacier_core.errors import ConfigurationError
from glacier_core.steps.kinds.classes.featuring import FEATURES
from glacier_core.steps.networks import Network
from glacier_core.steps.running import Step, reference

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from glacier_core.training import ModelSpec

PREDICTION = "prediction.zarr"
TILE = 512


def predicted(step: Step, entry: Mapping[str, Any], network: Network, *, views: int) -> str:
    """The reference of a unit's prediction, made now if it is not there.

    Args:
        step: the running stage.
        entry: how the unit stands; its features are made.
        network: the network.
        views: 1, or 8 for means over the square's symmetries.
    """
    features = step.read(entry["refs"]["prepare"])

    def make(attempt: Any) -> None:
        _write(features.path(FEATURES), attempt.path(PREDICTION), network, views=views)

    inputs = [reference(features), network.reference]
    return reference(step.build("predict", part={"tile": TILE, "views": views}, inputs=inputs, make=make))


def _write(source: str, target: str, network: Network, *, views: int) -> None:
    from glacier_core.cube import PROBABILITY, create_cube, grid_of, open_cube, open_pixels
    from glacier_core.inference import predict_tiled
    from glacier_core.samples.class_chips import images_seen

    module, spec = _module(network, views=views)
    cube, pixels = open_cube(source), open_pixels(source)
    channels = tuple(spec.extra["channels"])
    missing = [channel for channel in channels if channel not in pixels.bands]
    if missing:
        raise ConfigurationError(
            f"the features lack the model's {', '.join(missing)}",
            expected=f"channels {', '.join(channels)}",
            do="add them to features or choose another model",
        )
    mean = np.asarray(spec.normalisation.mean if spec.normalisation else [0.0] * len(spec.bands), np.float32)
    grid = grid_of(cube)
    writer = create_cube(
        target,
        grid=grid,
        times=cube["time"].values,
        bands=spec.classes,
        packing=PROBABILITY,
        labels={"frame": [str(name) for name in cube["frame"].values]},
        attrs={"dated": int(cube.attrs["dated"]), "place": str(cube.attrs["place"])},
    )
    found = np.full((min(writer.block[0], len(cube["time"])), len(spec.classes), *grid.shape), np.nan, np.float32)
    with writer:
        for first in range(0, writer.shape[0], writer.block[0]):
            shown = range(first, min(first + writer.block[0], writer.shape[0]))
            found[:] = np.nan
            for number, time in enumerate(shown):
                seen = images_seen(time, int(spec.extra["dates"]))

                def read(rows: slice, columns: slice, seen: list[int] = seen) -> NDArray[np.float32]:
                    images = [
                        pixels.physical(times=slice(t, t + 1), bands=channels, rows=rows, columns=columns)[0]
                        for t in seen
                    ]
                    return _filled(np.concatenate(images), mean, last=len(channels))

                def write(rows: slice, columns: slice, probability: NDArray[np.float32], number: int = number) -> None:
                    found[number, :, rows, columns] = probability

                predict_tiled(module, spec, shape=grid.shape, read=read, write=write, tile=TILE)
            writer.write(slice(shown.start, shown.stop), slice(None), slice(None), found[: len(shown)])


def _module(network: Network, *, views: int) -> tuple[nn.Module, ModelSpec]:
    """The network that predicts: the one that was trained, or the mean of all members and views."""
    from safetensors.torch import load

    from glacier_core.inference.views import MeanOfMembers, MeanOfViews
    from glacier_core.steps.kinds.classes.sampling import MEMBER

    module, spec = network.load()
    members = [module]
    for number in range(1, int(spec.extra.get("members", 1))):
        other = spec.build()
        other.load_state_dict(load(network.read_bytes(MEMBER.format(number))))
        members.append(other.eval())
    if len(members) > 1:
        module = MeanOfMembers(members)
    return (MeanOfViews(module) if views == 8 else module), spec


def _filled(image: NDArray[np.float32], mean: NDArray[np.float32], *, last: int) -> NDArray[np.float32]:
    """The image without gaps in all but its last channels: what an earlier image does not show is its mean."""
    earlier = image[:-last]
    np.copyto(earlier, mean[: len(earlier), None, None], where=~np.isfinite(earlier))
    return image
