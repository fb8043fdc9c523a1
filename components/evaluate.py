"""The component `evaluate`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(store: str, run: str, trained: str) -> str:
    """Score the network beside baselines on unseen places."""
    from glacier_core import steps

    return steps.evaluate(store=store, run=run, trained=trained)
