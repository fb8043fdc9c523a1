"""The pipeline `train`: from a recipe to a registered model, and to the champion where the gate lets it pass."""

from kfp import dsl

from glacier_components import (
    evaluate,
    gate,
    ingest,
    label,
    plan,
    prepare,
    promote,
    register,
    sample,
    train,
    training_report,
)


@dsl.pipeline(name="train", description="Recipe to registered model: ingest, label, train, score, gate, promote.")
def train_pipeline(store: str, run: str, recipe: str, catalog: str = "") -> str:
    """Train, score and register the recipe's model; the output is the chain of everything made.

    The batches carry the plan's digest: inside a loop, local runs hand the loop's item to every input that comes from
    an outer task, so nothing else from outside the loop may enter it.
    """
    planned = plan(store=store, run=run, recipe=recipe, purpose="train", catalog=catalog, model="")
    with dsl.ParallelFor(planned.output) as batch:
        ingested = ingest(store=store, run=run, batch=batch)
        prepared = prepare(store=store, run=run, ingested=ingested.output)
        labelled = label(store=store, run=run, prepared=prepared.output)
    sampled = sample(store=store, run=run, labelled=dsl.Collected(labelled.output))
    trained = train(store=store, run=run, sampled=sampled.output)
    evaluated = evaluate(store=store, run=run, trained=trained.output)
    registered = register(store=store, run=run, evaluated=evaluated.output)
    gated = gate(store=store, run=run, registered=registered.output)
    promoted = promote(store=store, run=run, gated=gated.output)
    training_report(store=store, run=run, promoted=promoted.output)
    return promoted.output
