"""`predict`: the network's probability of ice for each unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glacier_core.errors import ConfigurationError
from glacier_core.steps.imagery import IMAGE
from glacier_core.steps.plans import read_batch
from glacier_core.steps.running import Step, reference, running, threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTION = "prediction.zarr"
TILE = 512
HALO = 64


def predict(*, store: str, run: str, prepared: str) -> str:
    """Predict each unit of a batch with the plan's model.

    Args:
        store: URL of the store.
        run: identifier of the pipeline run.
        prepared: reference of the batch's `prepare` manifest.
    """
    with running(store=store, run=run, stage="predict") as step:
        manifest, plan = read_batch(step, prepared)
        predictor = Predictor(step, plan.model["weights"])
        results = step.over_units(manifest["units"], do=predictor.unit)
        return step.publish_batch(plan=plan.reference, batch=manifest["batch"], results=results)


class Predictor:
    """Predicts units with one network, which is loaded when the first unit needs it.

    Args:
        step: the running stage.
        weights: reference of the `train` output that holds the network.
    """

    def __init__(self, step: Step, weights: str) -> None:
        self.step = step
        self.weights = step.read(weights)
        self._loaded: tuple[Any, Any] | None = None

    def unit(self, entry: Mapping[str, Any]) -> str:
        """The reference of the unit's prediction, made now if it is not there."""
        prepared = self.step.read(entry["refs"]["prepare"])

        def make(attempt: Any) -> None:
            from glacier_core.cube import open_cube, write_cube

            image = open_cube(prepared.path(IMAGE))
            write_cube(attempt.path(PREDICTION), self._prediction(image, str(entry["unit"])))

        inputs = [reference(prepared), reference(self.weights)]
        return reference(self.step.build("predict", part={"tile": TILE, "halo": HALO}, inputs=inputs, make=make))

    def _network(self) -> tuple[Any, Any]:
        if self._loaded is None:
            import torch

            from glacier_core.training import load_model

            torch.set_num_threads(threads())
            self._loaded = load_model(self.weights.path(""))
        return self._loaded

    def _prediction(self, image: Any, unit: str) -> Any:
        import numpy as np

        from glacier_core.cube import PROBABILITY, grid_of, make_cube
        from glacier_core.inference import predict_tiled

        network, spec = self._network()
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

        predict_tiled(network, spec, shape=probability.shape, read=read, write=write, tile=TILE, halo=HALO)
        probability[image["clear"].values == 0] = np.nan
        return make_cube(
            grid=grid_of(image),
            times=image["time"].values,
            bands=["glacier"],
            imagery=probability[None, None],
            packing=PROBABILITY,
        )
