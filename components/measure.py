"""The component `measure`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def measure(store: str, run: str, predicted: str) -> str:
    """Measure areas and fronts of a batch."""
    from glacier_core import steps

    return steps.measure(store=store, run=run, predicted=predicted)
