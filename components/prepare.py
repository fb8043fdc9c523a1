"""The component `prepare`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(store: str, run: str, ingested: str) -> str:
    """Turn each unit's scenes into one image of the year."""
    from glacier_core import steps

    return steps.prepare(store=store, run=run, ingested=ingested)
