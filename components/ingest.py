"""The component `ingest`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(store: str, run: str, batch: str) -> str:
    """Read the scenes of a batch's units into cubes."""
    from glacier_core import steps

    return steps.ingest(store=store, run=run, batch=batch)
