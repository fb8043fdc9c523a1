"""The component `label`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def label(store: str, run: str, prepared: str) -> str:
    """Rasterize the outlines that may serve as truth."""
    from glacier_core import steps

    return steps.label(store=store, run=run, prepared=prepared)
