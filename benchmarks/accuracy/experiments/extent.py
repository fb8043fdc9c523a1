"""Glacier extent."""

from __future__ import annotations

from benchmarks.accuracy.declared import ONE, Column, Experiment, Table

COLUMNS = (
    Column("iou/glacier", "IoU of ice"),
    Column("f1/glacier", "F1"),
    Column("precision/glacier", "precision"),
    Column("recall/glacier", "recall"),
    Column("area_error/mean", "mean area error (%)", digits=2),
    Column("interval_coverage", "intervals that hold the true area (%)", digits=1),
)

TABLES = (
    Table(
        name="demo",
        kind="extent",
        title="Extent: simulated glaciers",
        needs="",
        about="Simulated Sentinel-2 scenes whose truth is known (recipe `demo`), split by place.",
        columns=COLUMNS,
        experiments=(Experiment("unet", "demo", seeds=ONE),),
    ),
    Table(
        name="everest",
        kind="extent",
        title="Extent: Everest, Landsat 7",
        needs="extent/everest",
        about="One Landsat 7 scene of 2000-10-30 with RGI 6.0 outlines (`extent/everest`, recipe `everest`), split by "
        "easting with a gap of 600 m. Outlines that are more than 200 days older or younger than the image are stale: "
        "scores against them are an agreement and no accuracy.",
        columns=(
            Column("iou_stale/glacier", "IoU, stale outlines"),
            Column("iou/glacier", "IoU, outlines of the date"),
            Column("area_bias_stale", "area beside stale outlines (%)", digits=1),
        ),
        experiments=(
            Experiment("unet", "everest"),
            Experiment("unet_scse", "everest", ("model.name=unet_scse",), against="unet"),
            Experiment("unet_aspp", "everest", ("model.name=unet_aspp",), against="unet"),
        ),
    ),
)
