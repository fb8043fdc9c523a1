"""Monthly ice cover: baselines that any forecast must beat, and scores of fields and of members."""

from glacier_core.measure.ice_cover.baselines import BASELINES, FEWEST_YEARS, Climate, Known, fit_climate, forecast
from glacier_core.measure.ice_cover.members import (
    FEWEST_MEMBERS,
    STRETCHES,
    MemberSums,
    choose_stretch,
    crps,
    interval_of,
    level_of,
    member_sums,
    stretched,
)
from glacier_core.measure.ice_cover.months import MONTHS, MonthlySeries, carried_on, month_name, month_number
from glacier_core.measure.ice_cover.scores import FieldSums, field_sums
from glacier_core.measure.ice_cover.summary import (
    FIELD_METRICS,
    MAIN,
    best_baseline,
    gain_over,
    member_scores_of,
    scores_of,
)

__all__ = [
    "BASELINES",
    "FEWEST_MEMBERS",
    "FEWEST_YEARS",
    "FIELD_METRICS",
    "MAIN",
    "MONTHS",
    "STRETCHES",
    "Climate",
    "FieldSums",
    "Known",
    "MemberSums",
    "MonthlySeries",
    "best_baseline",
    "carried_on",
    "choose_stretch",
    "crps",
    "field_sums",
    "fit_climate",
    "forecast",
    "gain_over",
    "interval_of",
    "level_of",
    "member_scores_of",
    "member_sums",
    "month_name",
    "month_number",
    "scores_of",
    "stretched",
]
