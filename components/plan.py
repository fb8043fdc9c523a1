"""The component `plan`."""

from kfp import dsl

from glacier_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan(store: str, run: str, recipe: str, purpose: str, catalog: str, model: str) -> list:  # type: ignore[type-arg]
    """Resolve a recipe to scenes, units and batches."""
    from glacier_core import steps

    return steps.plan(store=store, run=run, recipe=recipe, purpose=purpose, catalog=catalog, model=model)
