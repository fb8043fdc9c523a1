"""The component `train`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(store: str, run: str, sampled: str) -> str:
    """Train the network."""
    from glacier_core import steps

    return steps.train(store=store, run=run, sampled=sampled)
