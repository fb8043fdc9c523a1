"""Calving fronts."""

from __future__ import annotations

import json

from benchmarks.accuracy.declared import ONE, SEEDS, Column, Experiment, Fold, Table

COLUMNS = (
    Column("front_distance/mean", "mean distance (px)", digits=2),
    Column("front_distance/median", "median (px)", digits=2),
    Column("front_distance/predicted_from_drawn", "predicted from drawn (px)", digits=2),
    Column("front_distance/predicted_from_drawn_median", "its median (px)", digits=2),
    Column("front_distance/predicted_from_drawn_pooled", "pooled (px)", digits=2),
    Column("front_distance/caffe", "as CaFFe pools it (px)", digits=2),
    Column("front_distance/along", "along the drawn front (px)", digits=2),
    Column("front_distance/hausdorff95", "Hausdorff 95 (px)", digits=2),
    Column("front_missing", "images without a front", digits=0, adds_up=True),
    Column("front_unsure", "images with a guessed front", digits=0, adds_up=True),
)
APART = (("008011", "009011-010011"), ("020007-024006",), ("229012-231012",))
"""What is held out together: 008011 shows the glacier of 009011 and 010011, six pixels aside."""
AS_NAMED = (
    (("008011",), "overlapping=[]"),
    (("009011-010011",), "overlapping=[]"),
    # the other two are folds of the first table too, and are not trained again
    (("020007-024006",),),
    (("229012-231012",),),
)


def held_out(*places: str) -> str:
    """The recipe key that holds places out."""
    # quoted: 008011 is also a number
    return f"split.test_places={json.dumps(places)}"


def models(recipe: str, *, seeds: tuple[int, ...]) -> tuple[Experiment, ...]:
    """The networks for fronts, each beside the plain one; only that is trained with several seeds."""
    return (
        Experiment("unet", recipe, seeds=seeds),
        Experiment("unet_aspp", recipe, ("model.name=unet_aspp",), seeds=ONE, against="unet"),
        Experiment("unet_scse", recipe, ("model.name=unet_scse",), seeds=ONE, against="unet"),
    )


TABLES = (
    Table(
        name="simulated-front",
        kind="front",
        title="Fronts: simulated",
        needs="",
        about="Simulated calving fronts whose lines are known (recipe `simulated-front`), split by place.",
        columns=COLUMNS,
        experiments=models("simulated-front", seeds=ONE),
    ),
    Table(
        name="greenland-front",
        kind="front",
        title="Fronts: Greenland, Landsat 5, 7 and 8",
        needs="front/landsat_greenland",
        about="123 Landsat chips of 1985 to 2016 with hand-drawn fronts (`front/landsat_greenland`, recipe "
        "`greenland-front`). Each glacier is held out once, path/rows that show one glacier together: three places, "
        "and no interval. Distances along the drawn front are as of Mohajerani et al. 2019, but nothing is cut "
        "off within 500 m of the fjord's walls, as they did: the chips do not tell where the walls are.",
        columns=COLUMNS,
        experiments=models("greenland-front", seeds=SEEDS),
        folds=tuple(Fold(" and ".join(places), (held_out(*places),)) for places in APART),
        published=(
            "1.97 pixels on a glacier that the network had not seen, 1.9 between two humans (doi:10.3390/rs11010074).",
        ),
    ),
    Table(
        name="greenland-front-as-named",
        kind="front",
        title="Fronts: Greenland, four folds by path and row",
        needs="front/landsat_greenland",
        about="The same in four folds: {008011}, {009011, 010011}, {020007...024006}, {229012...231012}. The first two "
        "show one glacier, so that each is trained on the other's: their figures are of a glacier that was seen.",
        columns=COLUMNS,
        experiments=(Experiment("unet", "greenland-front", seeds=ONE),),
        folds=tuple(Fold(" and ".join(places), (*apart, held_out(*places))) for places, *apart in AS_NAMED),
    ),
)
