"""The component `promote`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(store: str, run: str, gated: str) -> str:
    """Give the version the alias that the verdict allows."""
    from glacier_core import steps

    return steps.promote(store=store, run=run, gated=gated)
