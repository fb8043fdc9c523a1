"""Glacier classification."""

from __future__ import annotations

from benchmarks.accuracy.declared import ONE, Column, Experiment, Fold, Table

SURFACES = ("rock", "vegetation", "water", "debris", "ice", "snow")

NORWAY: tuple[tuple[str, ...], ...] = (
    ("G006289E61648N",),
    (
        "G006474E61478N",
        "G006478E61494N",
        "G006511E61500N",
        "G006512E61490N",
        "G006544E61482N",
        "G006547E61495N",
    ),
    (
        "G006531E61419N",
        "G006542E61416N",
        "G006556E61430N",
        "G006561E61423N",
        "G006574E61436N",
        "G006579E61427N",
        "G006608E61430N",
        "G006649E61453N",
        "G006658E61475N",
    ),
    ("G006585E62267N",),
    ("G006667E61738N", "G006675E61728N", "G006689E61745N"),
    ("G006672E61674N", "G006678E61661N"),
)
"""Chips whose middles are nearer than 3.84 km both east and north are held out together: at 30 m they would overlap."""
EVEREST = (("G086943E28072N",), ("G086862E27938N",), ("G086889E27929N", "G086917E27925N", "G086949E27913N"))
"""Chips that the outlines cover, by places that overlap."""
OF_TWO = (
    Column("iou/glacier", "IoU of the glacier"),
    Column("f1/glacier", "F1"),
    Column("precision/glacier", "precision"),
    Column("recall/glacier", "recall"),
    Column("accuracy/all", "accuracy"),
)


def held_out(places: tuple[tuple[str, ...], ...], validation: dict[int, int]) -> tuple[Fold, ...]:
    """A fold for each group of places.

    Args:
        places: groups.
        validation: number of a group -> number of the one that serves validation then; else the last but one.
    """
    return tuple(
        Fold(
            group[0],
            (
                f"split.test_places=[{', '.join(group)}]",
                f"split.validation_places=[{', '.join(places[validation.get(number, len(places) - 3)])}]",
            ),
        )
        for number, group in enumerate(places)
    )


TABLES = (
    Table(
        name="simulated-classes",
        kind="classes",
        title="Classes: simulated glaciers",
        needs="",
        about="Simulated Sentinel-2 scenes with six surfaces (recipe `simulated-classes`), split by place.",
        columns=(
            Column("iou/mean", "mean IoU"),
            *(Column(f"iou/{name}", f"IoU, {name}") for name in SURFACES),
            Column("accuracy/all", "accuracy"),
        ),
        experiments=(
            Experiment("unet", "simulated-classes", ("model.name=unet",)),
            Experiment("unet_scse", "simulated-classes", against="unet"),
            # at half the width: it takes thirteen times as long as unet otherwise
            Experiment("cnn3d", "simulated-classes", ("model.name=cnn3d", "model.width=6"), against="unet"),
        ),
    ),
    Table(
        name="norway-extent",
        kind="classes",
        title="Extent: the glacier in the middle, Norway",
        needs="extent/norway_chips",
        about="22 Landsat chips of Norway with masks of the one glacier in the middle (`extent/norway_chips`, recipe "
        "`norway-extent`): the model is told how far each pixel is from the middle. Pixel sizes differ and are not "
        "told; chips that would overlap at 30 m (middles within 3.84 km both east and north) are held out together, "
        "each group once; intervals resample places whose chips overlap. `place` is the best distance from the "
        "middle, `ndsi_place` the best snow index within the best distance.",
        columns=OF_TWO,
        experiments=(
            Experiment("unet", "norway-extent"),
            Experiment("unet_scse", "norway-extent", ("model.name=unet_scse",), seeds=ONE, against="unet"),
        ),
        folds=held_out(NORWAY, {group: 4 if group == 5 else 5 for group in range(6)}),
        baselines=("ndsi_place", "place", "ndsi_tuned", "ndsi_0.4", "tuned_ratio", "maximum_likelihood"),
    ),
    Table(
        name="himalaya-chips",
        kind="classes",
        title="Classes: Everest region, Landsat with thermal band and terrain",
        needs="extent/high_mountain_asia",
        about="Five undated Landsat chips (`extent/high_mountain_asia`) that RGI 6.0 outlines of 2000 to 2010 cover "
        "(`extent/everest`), three places, each held out once (recipe `himalaya-chips`). All outlines count as stale: "
        "an agreement and no accuracy. Three places: no interval, no claim.",
        columns=(Column("iou_stale/glacier", "IoU, stale outlines"), Column("iou_stale/mean", "mean IoU")),
        experiments=(
            Experiment("unet", "himalaya-chips", ("model.name=unet",)),
            Experiment("unet_scse", "himalaya-chips", against="unet"),
        ),
        folds=held_out(EVEREST, {0: 1, 1: 0, 2: 0}),
    ),
)
