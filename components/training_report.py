"""The component `training_report`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def training_report(store: str, run: str, promoted: str) -> str:
    """Write and deliver the page about the training."""
    from glacier_core import steps

    return steps.training_report(store=store, run=run, promoted=promoted)
