"""The component `aggregate`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def aggregate(store: str, run: str, measured: list) -> str:  # type: ignore[type-arg]
    """Join the tables and fit trends."""
    from glacier_core import steps

    return steps.aggregate(store=store, run=run, measured=measured)
