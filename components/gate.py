"""The component `gate`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate(store: str, run: str, registered: str) -> str:
    """Decide whether the version may become champion."""
    from glacier_core import steps

    return steps.gate(store=store, run=run, registered=registered)
