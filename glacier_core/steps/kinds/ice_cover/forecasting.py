"""Forecasts of a region by a network, and members around them.

Members are made from the forecast by the errors of the validation months whose calendar month of issue is nearest, each
once as it was and once with the other sign (dressing: Roulston and Smith 2003, doi:10.1034/j.1600-0870.2003.201378.x);
so they keep the errors' patterns in space, have no bias, and their mean is the forecast, as far as 0 and 1 allow. A
network that takes noise forecasts a few times with different noise, and the errors are laid on these in turn. One
stretch a lead makes their intervals cover as they should on the validation months, each seen without its own year.

Shapes: L leads, M members, V months of issue in validation, P cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glacier_core.measure.ice_cover import (
    MONTHS,
    STRETCHES,
    choose_stretch,
    fit_climate,
    member_sums,
    stretched,
)
from glacier_core.steps.kinds.ice_cover.fields import Fields

if TYPE_CHECKING:
    from torch import nn

    from glacier_core.steps.kinds.ice_cover.regions import Region
    from glacier_core.training import ModelSpec

Floats = NDArray[np.float32]
DRAWS = 4
"""Forecasts with different noise, of networks that take noise."""
EVERY = 5
"""Of the cells every fifth stands for its neighbours where the stretch is chosen."""


class Forecaster:
    """A network for one region.

    Args:
        region: the region.
        module: the network.
        spec: its description.
        recipe: the recipe.
        rows: (N,) months that its baselines are fitted on.
    """

    def __init__(
        self, region: Region, module: nn.Module, spec: ModelSpec, recipe: Any, rows: NDArray[np.bool_]
    ) -> None:
        leads = len(spec.extra["bases"])
        climate = fit_climate(region.series, rows, leads=leads, threshold=recipe.threshold)
        self.fields = Fields(region, climate, bases=spec.extra["bases"], scale=spec.extra["scale"])
        self._module = module
        self._lookback = int(spec.extra["lookback"])
        self._window = region.window()
        self.latent = int(getattr(module, "latent", 0))

    def points(self, issue: int, noises: Sequence[Floats | None] = (None,)) -> list[Floats]:
        """Forecasts (L, P), 0 to 1, one for each noise vector; None is the middle."""
        import torch

        fields, window = self.fields, self._window
        ahead = [fields.ahead(issue, lead, window) for lead in range(1, fields.leads + 1)]
        past = torch.from_numpy(fields.past(issue, self._lookback, window))[None]
        known = torch.from_numpy(np.stack([known for known, _ in ahead]))[None]
        base = np.stack([base[0] for _, base in ahead])
        found = []
        with torch.inference_mode():
            for noise in noises:
                given = () if noise is None else (torch.from_numpy(noise)[None],)
                change = self._module(past, known, *given)[0, :, 0].numpy()
                cells = fields.region.of_grid((base + change) * np.float32(fields.scale), window)
                found.append(cells.clip(0, 1).astype(np.float32))
        return found

    def centres(self, issue: int) -> list[Floats]:
        """The forecast and, where the network takes noise, others beside it: what members are laid on."""
        if not self.latent:
            return self.points(issue)
        rng = np.random.default_rng(issue)
        draws = [rng.standard_normal(self.latent, dtype=np.float32) for _ in range(DRAWS)]
        return self.points(issue, [None, *draws])


@dataclass(frozen=True)
class Dressing:
    """Errors of the validation months, and how far they are stretched."""

    issues: tuple[int, ...]
    """Rows of the months of issue."""
    years: tuple[int, ...]
    """Their years."""
    errors: Floats
    """(V, L, P) observed less forecast; NaN where nothing was observed."""
    first: int
    """Month number of row 0."""
    stretch: tuple[float, ...]
    """By lead."""

    def members(
        self, centres: Sequence[Floats], issue: int, lead: int, *, count: int, but: int | None = None
    ) -> Floats:
        """Members (M, P) of a forecast at one lead.

        Args:
            centres: (P,) the forecast, and those with noise, if any.
            issue: row of its month of issue.
            lead: months ahead.
            count: M.
            but: a year whose errors are not to be used.
        """
        near = sorted(
            (number for number, year in enumerate(self.years) if year != but and self._seen(number, lead)),
            key=lambda number: (self._apart(self.issues[number], issue), number),
        )
        own = centres[1:] or centres
        middle = centres[0]
        found = []
        for number in range(count):
            error = self.errors[near[number // 2 % len(near)], lead - 1] if near else np.zeros_like(middle)
            sign = 1 if number % 2 == 0 else -1
            found.append(own[number // 2 % len(own)] + sign * np.nan_to_num(error))
        return stretched(np.stack(found), middle, self.stretch[lead - 1])

    def knows(self, lead: int) -> bool:
        """Whether any validation month tells the errors at a lead; else all members are the forecast itself."""
        return any(self._seen(number, lead) for number in range(len(self.issues)))

    def _seen(self, number: int, lead: int) -> bool:
        return bool(np.isfinite(self.errors[number, lead - 1]).any())

    def _apart(self, one: int, other: int) -> int:
        months = abs((self.first + one) % MONTHS - (self.first + other) % MONTHS)
        return min(months, MONTHS - months)


def dress(
    region: Region, module: nn.Module, spec: ModelSpec, recipe: Any, *, stretch: Sequence[float] | None = None
) -> Dressing:
    """The errors of the validation months, forecast from a climate of the training months alone.

    Args:
        region: the region.
        module: the network.
        spec: its description.
        recipe: the recipe.
        stretch: by lead, where it has been chosen before; None: it is chosen here.
    """
    forecaster = Forecaster(region, module, spec, recipe, region.taught)
    leads = forecaster.fields.leads
    wanted = {
        issue
        for lead in range(1, leads + 1)
        for issue in region.issues("validation", lookback=recipe.lookback, lead=lead)
    }
    issues = tuple(sorted(wanted))
    centres = [forecaster.centres(issue) for issue in issues]
    errors = np.full((len(issues), leads, len(region.area_P)), np.nan, np.float32)
    for number, issue in enumerate(issues):
        for lead in range(1, leads + 1):
            if (
                region.parts[issue + lead : issue + lead + 1] == ("validation",)
                and region.is_target(issue + lead - 1, 1)[0]
            ):
                errors[number, lead - 1] = region.series.values_NP[issue + lead] - centres[number][0][lead - 1]
    years = tuple(int(region.series.years[issue]) for issue in issues)
    plain = Dressing(issues, years, errors, region.series.first, (1.0,) * leads)
    chosen = tuple(stretch) if stretch else _stretches(plain, centres, region, recipe)
    return Dressing(issues, years, errors, region.series.first, chosen)


def _stretches(plain: Dressing, centres: Sequence[Sequence[Floats]], region: Region, recipe: Any) -> tuple[float, ...]:
    """By lead the stretch that covers as it should, each month without its own year's errors."""
    some = slice(None, None, EVERY)
    found = []
    for lead in range(1, plain.errors.shape[1] + 1):
        sums: dict[float, list[Any]] = {stretch: [] for stretch in STRETCHES}
        for number, issue in enumerate(plain.issues):
            if not np.isfinite(plain.errors[number, lead - 1]).any():
                continue
            own = [centre[lead - 1] for centre in centres[number]]
            members = plain.members(own, issue, lead, count=recipe.members, but=plain.years[number])[:, some]
            truth, area = region.series.values_NP[issue + lead][some], region.area_P[some]
            for stretch in STRETCHES:
                wider = stretched(members, own[0][some], stretch)
                found_here = member_sums(wider, truth, area, confidence=recipe.measure.confidence, level=region.level)
                sums[stretch].append(found_here)
        found.append(choose_stretch(sums, confidence=recipe.measure.confidence) if sums[1.0] else 1.0)
    return tuple(found)
