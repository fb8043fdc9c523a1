"""The network's probability of ice for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.kinds.extent.imagery import IMAGE
from glacier_core.steps.networks import Network
from glacier_core.steps.running import Step, reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTION = "prediction.zarr"
TILE = 512


def predicted(step: Step, entry: Mapping[str, Any], network: Network) -> str:
    """The reference of a unit's prediction, made now if it is not there."""
    prepared = step.read(entry["refs"]["prepare"])

    def make(attempt: Any) -> None:
        from glacier_core.cube import open_cube, write_cube

        image = open_cube(prepared.path(IMAGE))
        write_cube(attempt.path(PREDICTION), _probability(network, image, str(entry["unit"])))

    inputs = [reference(prepared), network.reference]
    return reference(step.build("predict", part={"tile": TILE}, inputs=inputs, make=make))


def _probability(network: Network, image: Any, unit: str) -> Any:
    import numpy as np

    from glacier_core.cube import PROBABILITY, grid_of, make_cube
    from glacier_core.inference import predict_tiled

    module, spec = network.load()
    missing = [band for band in spec.bands if band not in image["band"].values]
    if missing:
        raise ConfigurationError(
            f"the image of {unit} lacks the model's band {', '.join(missing)}",
            expected=f"bands {', '.join(spec.bands)}",
            do="add them to imagery.bands or choose another model",
        )
    pixels = image["imagery"].isel(time=0).sel(band=list(spec.bands))
    probability = np.full(pixels.shape[1:], np.nan, dtype=np.float32)

    def read(rows: slice, columns: slice) -> NDArray[np.float32]:
        return np.asarray(pixels[:, rows, columns].values, dtype=np.float32)

    def write(rows: slice, columns: slice, found: NDArray[np.float32]) -> None:
        probability[rows, columns] = found[spec.classes.index("glacier")]

    predict_tiled(module, spec, shape=probability.shape, read=read, write=write, tile=TILE)
    probability[image["clear"].values == 0] = np.nan
    return make_cube(
        grid=grid_of(image),
        times=image["time"].values,
        bands=["glacier"],
        imagery=probability[None, None],
        packing=PROBABILITY,
    )
