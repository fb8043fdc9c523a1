"""One unit with everything that scores need: image, truth, prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.extent.imagery import IMAGE
from glacier_core.steps.kinds.extent.labelling import LABELS
from glacier_core.steps.kinds.extent.predicting import PREDICTION, predicted
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 0.5


@dataclass(frozen=True)
class Case:
    """One unit with everything that scores need; arrays are (y, x) on the unit's grid.

    `probability` is NaN throughout where no network was asked.
    """

    unit: str
    glacier_id: str
    year: int
    bands: dict[str, NDArray[np.float32]]
    probability: NDArray[np.float32]
    truth: NDArray[np.bool_]
    domain: NDArray[np.bool_]
    outline: NDArray[np.bool_]
    pixel_area: NDArray[np.float64]
    stale: bool
    label_age_days: int

    @classmethod
    def read(cls, step: Step, plan: Plan, entry: Mapping[str, Any], network: Network | None) -> Case:
        """Read a unit's image, labels and prediction (made now if it is not there)."""
        import numpy as np

        from glacier_core.cube import read_image, read_mask
        from glacier_core.measure import pixel_areas

        unit = plan.units[entry["unit"]]
        image = step.read(entry["refs"]["prepare"]).path(IMAGE)
        labelled = step.read(entry["refs"]["label"])
        labels = labelled.path(LABELS)
        bands = plan.recipe.imagery.all_bands()
        dates = labelled.read_json("labels.json")["reference"]
        pixels = read_image(image, bands=bands)
        probability = np.full(pixels.shape[1:], np.nan, dtype=np.float32)
        if network is not None:
            probability = read_image(step.read(predicted(step, entry, network)).path(PREDICTION))[0]
        pixels = np.where(read_mask(image, "clear"), pixels, np.nan)
        return cls(
            unit=unit.unit_id,
            glacier_id=unit.glacier_id,
            year=unit.year,
            bands=dict(zip(bands, pixels, strict=True)),
            probability=probability,
            truth=read_mask(labels, "reference"),
            domain=read_mask(labels, "domain"),
            outline=read_mask(labels, "outline"),
            pixel_area=pixel_areas(unit.grid),
            stale=bool(dates["stale"]),
            label_age_days=int(dates["age_days"]),
        )

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where every band was seen."""
        import numpy as np

        return np.asarray(np.all([np.isfinite(band) for band in self.bands.values()], axis=0))

    @property
    def true_area_km2(self) -> float:
        """Ice inside the domain by the reference outlines, in km²."""
        import numpy as np

        return float(np.sum(self.pixel_area * (self.truth & self.domain)))

    def estimate(self) -> Any:
        """The model's area."""
        from glacier_core.measure import estimate_area

        return estimate_area(
            probability=self.probability,
            domain=self.domain,
            outline=self.outline,
            pixel_area=self.pixel_area,
            threshold=THRESHOLD,
        )
