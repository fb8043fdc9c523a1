"""The component `predict`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def predict(store: str, run: str, prepared: str) -> str:
    """Predict each unit of a batch."""
    from glacier_core import steps

    return steps.predict(store=store, run=run, prepared=prepared)
