"""The forecast from the last month that was seen, with members, and forecasts of months that have come since."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glacier_core.steps.kinds.contract import Entry
from glacier_core.steps.kinds.ice_cover.learning import region_of
from glacier_core.steps.networks import Network
from glacier_core.steps.plans import Plan
from glacier_core.steps.running import Step, reference
from glacier_core.units import SeriesUnit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORECAST = "forecast.npz"


@dataclass(frozen=True)
class Forecast:
    """What was forecast for a region, by cell; fractions."""

    issue: str
    """Month from which it was made, `YYYY-MM`."""
    targets: tuple[str, ...]
    """Month of each lead that is forecast, `YYYY-MM`."""
    leads: tuple[int, ...]
    """Those leads."""
    point: NDArray[np.float32]
    """(L, P) the forecast."""
    members: NDArray[np.float32]
    """(L, M, P) members."""
    base: NDArray[np.float32]
    """(L, P) the baseline that was corrected."""
    hindcast_issues: tuple[str, ...]
    """Months from which observed months were forecast."""
    hindcast: NDArray[np.float32]
    """(I, L, P) forecasts from them by lead from 1; NaN where the target is not forecast."""


def predicted(step: Step, plan: Plan, unit: SeriesUnit, entry: Entry, network: Network) -> str:  # noqa: ARG001
    """The unit's forecast; see `Kind.predict`."""
    recipe = plan.recipe
    part = {
        "members": recipe.members,
        "hindcasts": recipe.hindcasts,
        "target_months": list(recipe.target_months),
        "threshold": recipe.threshold,
        "confidence": recipe.measure.confidence,
        "periods": recipe.split.model_dump(mode="json"),
    }
    inputs = [network.reference, entry["refs"]["prepare"]]

    def make(attempt: Any) -> None:
        attempt.write_bytes(FORECAST, _forecast(step, plan, entry, network))

    return reference(step.build("predict", part=part, inputs=inputs, make=make))


def forecast_in(content: bytes) -> Forecast:
    """What `predicted` kept."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return Forecast(
            issue=str(kept["issue"]),
            targets=tuple(str(one) for one in kept["targets"]),
            leads=tuple(int(one) for one in kept["leads"]),
            point=kept["point"].astype(np.float32),
            members=kept["members"].astype(np.float32),
            base=kept["base"].astype(np.float32),
            hindcast_issues=tuple(str(one) for one in kept["hindcast_issues"]),
            hindcast=kept["hindcast"].astype(np.float32),
        )


def _forecast(step: Step, plan: Plan, entry: Entry, network: Network) -> bytes:
    import numpy as np

    from glacier_core.steps.kinds.ice_cover.forecasting import Forecaster, dress

    recipe = plan.recipe
    region = region_of(step, plan, entry)
    module, spec = network.load()
    dressing = dress(region, module, spec, recipe)
    forecaster = Forecaster(region, module, spec, recipe, region.fitted)
    issue = int(np.flatnonzero(region.series.seen)[-1])
    all_leads = range(1, forecaster.fields.leads + 1)
    leads = [lead for lead in all_leads if region.is_target(issue + lead - 1, 1)[0]]
    centres = forecaster.centres(issue)
    members = [
        dressing.members([centre[lead - 1] for centre in centres], issue, lead, count=recipe.members) for lead in leads
    ]
    cells = len(region.area_P)
    past = _past_issues(region, recipe, issue)
    hindcast = np.full((len(past), len(all_leads), cells), np.nan, np.float16)
    for number, row in enumerate(past):
        hindcast[number] = forecaster.points(row)[0]
        hindcast[number, ~region.is_target(row, len(all_leads))] = np.nan
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        issue=region.series.name(issue),
        targets=np.array([region.series.name(issue + lead) for lead in leads], dtype="U7"),
        leads=np.array(leads, np.int64),
        point=np.stack([centres[0][lead - 1] for lead in leads]).astype(np.float16)
        if leads
        else np.zeros((0, cells), np.float16),
        members=np.stack(members).astype(np.float16) if leads else np.zeros((0, recipe.members, cells), np.float16),
        base=np.stack([forecaster.fields.base(issue, lead) for lead in leads]).astype(np.float16)
        if leads
        else np.zeros((0, cells), np.float16),
        hindcast_issues=np.array([region.series.name(row) for row in past], dtype="U7"),
        hindcast=hindcast,
    )
    return buffer.getvalue()


def _past_issues(region: Any, recipe: Any, last: int) -> list[int]:
    """Months of issue whose first target was seen and served neither training nor validation, the last ones."""
    leads = recipe.leads
    found = [
        row
        for row in range(max(recipe.lookback - 1, 0), last)
        if region.parts[row + 1] not in ("train", "validation")
        and any(region.series.seen[row + lead] for lead in range(1, leads + 1) if row + lead <= last)
        and region.is_target(row, leads).any()
    ]
    return found[-recipe.hindcasts :] if recipe.hindcasts else []
