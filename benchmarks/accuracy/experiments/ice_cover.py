"""Forecasts of ice cover."""

from __future__ import annotations

from benchmarks.accuracy.declared import ONE, SEEDS, Column, Experiment, Table


def columns(leads: int, *metrics: tuple[str, str]) -> tuple[Column, ...]:
    """Errors of each lead, beside the best baseline's, and what its members are worth.

    Args:
        leads: months ahead.
        metrics: metrics that have an `_against_best`, and what they are called; the first is the main one.
    """
    found = []
    for lead in range(1, leads + 1):
        group = f"lead {lead}"
        found += [Column(f"{metric}/lead{lead}", name, group=group) for metric, name in metrics]
        found += [
            Column(f"{metric}_against_best/lead{lead}", f"{name}, less the best baseline's", digits=4, group=group)
            for metric, name in metrics
        ]
        found += [
            Column(f"crps/lead{lead}", "CRPS", group=group),
            Column(f"coverage/lead{lead}", "share in the 90 % interval, to half a level", digits=2, group=group),
            Column(f"coverage_plain/lead{lead}", "share in the interval itself", digits=2, group=group),
        ]
    return tuple(found)


def models(recipe: str, *, seeds: tuple[int, ...]) -> tuple[Experiment, ...]:
    """The networks that forecast fields."""
    names = ("convlstm", "transformer", "autoencoder")
    plain = [Experiment(name, recipe, (f"model.name={name}",), seeds=seeds) for name in names]
    return (*plain, Experiment("gan", recipe, ("model.name=gan", "training.loss=adversarial"), seeds=seeds))


RMSE, MAE, EDGE = ("rmse", "RMSE"), ("mae", "MAE"), ("iiee", "ice-edge error (10⁶ km²)")
SHARE = ("iiee_fraction", "IIEE / observed extent")

TABLES = (
    Table(
        name="simulated-ice-cover",
        kind="ice_cover",
        title="Ice cover: simulated sea ice",
        needs="",
        about="Simulated monthly sea ice (recipe `simulated-ice-cover`), split by time. Sea ice, not glacier area.",
        columns=columns(3, RMSE, MAE, EDGE),
        experiments=models("simulated-ice-cover", seeds=ONE),
    ),
    Table(
        name="arctic-ice-cover",
        kind="ice_cover",
        title="Ice cover: Arctic sea ice",
        needs="ice_cover/arctic_sea_ice",
        about="Monthly NSIDC Sea Ice Index images (`ice_cover/arctic_sea_ice`, recipe `arctic-ice-cover`): trained to "
        "1996, tuned to 1999, scored 2000 to 2009 on cells that ever have ice, blocks of 12 months. Differences from "
        "the best baseline of each lead and metric: below zero the model is better. Sea ice, not glacier area.",
        columns=columns(6, RMSE, MAE, SHARE),
        experiments=models("arctic-ice-cover", seeds=SEEDS),
    ),
    Table(
        name="antarctic-melt",
        kind="ice_cover",
        title="Ice cover: Antarctic surface melt",
        needs="ice_cover/antarctic_melt",
        about="Share of days with melt in each month (`ice_cover/antarctic_melt`, recipe `antarctic-melt`), targets "
        "from October to April. The edge: melt on a tenth of the days. Surface melt, not glacier area.",
        columns=columns(3, RMSE, MAE, EDGE),
        experiments=models("antarctic-melt", seeds=ONE),
    ),
)
