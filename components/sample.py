"""The component `sample`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def sample(store: str, run: str, labelled: list) -> str:  # type: ignore[type-arg]
    """Choose chips and fit the normalisation."""
    from glacier_core import steps

    return steps.sample(store=store, run=run, labelled=labelled)
