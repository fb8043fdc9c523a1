"""Calving fronts."""

from __future__ import annotations

import json

from benchmarks.accuracy.declared import Column, Experiment, Fold, Table

COLUMNS = (
    Column("front_distance/mean_of_images", "mean distance (px)", digits=2),
    Column("front_distance/median", "median (px)", digits=2),
    Column("front_distance/caffe", "as CaFFe pools it (px)", digits=2),
    Column("front_distance/along", "along the drawn front (px)", digits=2),
    Column("front_distance/hausdorff95", "Hausdorff 95 (px)", digits=2),
    Column("front_missing", "images without a front", digits=0, adds_up=True),
)
APART = (("008011", "009011-010011"), ("020007-024006",), ("229012-231012",))
"""What is held out together: 008011 shows the glacier of 009011 and 010011, six pixels aside."""
AS_NAMED = (("008011",), ("009011-010011",), ("020007-024006",), ("229012-231012",))


def held_out(*places: str) -> str:
    """The recipe key that holds places out."""
    # quoted: 008011 is also a number
    return f"split.test_places={json.dumps(places)}"


def models(recipe: str) -> tuple[Experiment, ...]:
    """The networks for fronts, each beside the plain one."""
    return (
        Experiment("unet", recipe),
        Experiment("unet_aspp", recipe, ("model.name=unet_aspp",), against="unet"),
        Experiment("unet_scse", recipe, ("model.name=unet_scse",), against="unet"),
    )


TABLES = (
    Table(
        name="simulated-front",
        kind="front",
        title="Fronts: simulated",
        needs="",
        about="Simulated calving fronts whose lines are known (recipe `simulated-front`), split by place.",
        columns=COLUMNS,
        experiments=models("simulated-front"),
    ),
    Table(
        name="greenland-front",
        kind="front",
        title="Fronts: Greenland, Landsat 5, 7 and 8",
        needs="front/landsat_greenland",
        about="123 Landsat chips of 1985 to 2016 with hand-drawn fronts (`front/landsat_greenland`, recipe "
        "`greenland-front`). Each glacier is held out once; path/rows that show one glacier are held out together.",
        columns=COLUMNS,
        experiments=models("greenland-front"),
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
        experiments=(Experiment("unet", "greenland-front", ("overlapping=[]",), seeds=(0,)),),
        folds=tuple(Fold(" and ".join(places), (held_out(*places),)) for places in AS_NAMED),
    ),
)
