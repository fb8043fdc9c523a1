"""The component `report`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(store: str, run: str, aggregated: str) -> str:
    """Write and deliver the products."""
    from glacier_core import steps

    return steps.report(store=store, run=run, aggregated=aggregated)
