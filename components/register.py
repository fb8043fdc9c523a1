"""The component `register`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(store: str, run: str, evaluated: str) -> str:
    """Register the model version in MLflow."""
    from glacier_core import steps

    return steps.register(store=store, run=run, evaluated=evaluated)
