"""The pipeline `monitor`: from a recipe and a registered model to the products."""

from kfp import dsl

from glacier_components import aggregate, ingest, measure, plan, predict, prepare, report


@dsl.pipeline(name="monitor", description="Recipe and model to products: areas, outlines, retreat, report.")
def monitor_pipeline(store: str, run: str, recipe: str, model: str, catalog: str = "") -> str:
    """Predict and measure every glacier and year; the output is the URL of the products."""
    planned = plan(store=store, run=run, recipe=recipe, purpose="monitor", catalog=catalog, model=model)
    with dsl.ParallelFor(planned.output) as batch:
        ingested = ingest(store=store, run=run, batch=batch)
        prepared = prepare(store=store, run=run, ingested=ingested.output)
        predicted = predict(store=store, run=run, prepared=prepared.output)
        measured = measure(store=store, run=run, predicted=predicted.output)
    aggregated = aggregate(store=store, run=run, measured=dsl.Collected(measured.output))
    reported = report(store=store, run=run, aggregated=aggregated.output)
    return reported.output
