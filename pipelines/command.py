"""The command `glacier`. Heavy imports stay inside the subcommands, so that help answers at once."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from glacier_core.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_PARTIAL,
    ConfigurationError,
    GlacierError,
)
from glacier_pipelines.choosing import RECIPES, counted, recipe_named, store_at, trainable, version_line

if TYPE_CHECKING:
    from glacier_pipelines.result import Result
    from glacier_pipelines.sweeping import SweepResult

app = typer.Typer(
    name="glacier",
    help="Glacier products from satellite imagery: one recipe in; areas, fronts, motion, classes, forecasts out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="name of a shipped recipe, or a YAML file")]
StoreOption = Annotated[str, typer.Option("--store", metavar="URL", help="where things are kept: folder or fsspec URL")]
CatalogOption = Annotated[
    str, typer.Option("--catalog", metavar="PATH_OR_URL", help="STAC catalog or API that replaces the recipe's")
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME@ALIAS", help="model version: name@alias or name/version")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a recipe key, such as training.epochs=5"),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="print one JSON object; everything else goes to standard error")
]


@app.command()
def run(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    model: ModelOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Train, then monitor with the result; with --model, monitor with that model."""
    from glacier_pipelines.running import monitor_recipe, train_recipe

    chosen, where = trainable(recipe, overrides), store_at(store)
    result = None if model else train_recipe(chosen, where, catalog=catalog)
    _finish(monitor_recipe(chosen, where, catalog=catalog, model=model, after=result), as_json=as_json)


@app.command()
def train(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    model: ModelOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Train, score and register a model; the gate decides whether it becomes champion."""
    from glacier_pipelines.running import train_recipe

    if model:
        raise ConfigurationError("train makes a model and takes none", do="leave --model out, or use glacier monitor")
    _finish(train_recipe(trainable(recipe, overrides), store_at(store), catalog=catalog), as_json=as_json)


@app.command()
def monitor(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    model: ModelOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Make the recipe's products with a registered model (default: the recipe's champion)."""
    from glacier_pipelines.running import monitor_recipe

    chosen = trainable(recipe, overrides)
    _finish(monitor_recipe(chosen, store_at(store), catalog=catalog, model=model, after=None), as_json=as_json)


@app.command()
def evaluate(
    recipe: RecipeArgument,
    model: Annotated[str, typer.Option("--model", metavar="NAME@ALIAS", help="model version to score")],
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="folder laid out as the recipe's source is")] = "",
    store: StoreOption = "",
    catalog: CatalogOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Score a model on data that it has not been trained on."""
    from glacier_pipelines.running import evaluate_recipe

    assignments = [*(overrides or []), *([f"data={json.dumps(str(Path(data).resolve()))}"] if data else [])]
    chosen = trainable(recipe, assignments)
    _finish(evaluate_recipe(chosen, store_at(store), catalog=catalog, model=model), as_json=as_json)


@app.command()
def sweep(
    recipe: RecipeArgument,
    trials: Annotated[int, typer.Option("--trials", min=0, help="trials of the study in all (0: the recipe's)")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="processes that work on the study at once")] = 1,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Search better values of recipe keys (learning rate, batch, ...) and train the best in full; goes on if killed."""
    from glacier_pipelines.sweeping import sweep_recipe

    chosen = trainable(recipe, overrides)
    found = sweep_recipe(
        chosen, store_at(store), catalog=catalog, trials=trials or chosen.sweep.trials, workers=workers
    )
    _finish(found, as_json=as_json)


@app.command()
def check(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Validate a recipe, count its units (or frames) and bytes; nothing is run."""
    found = counted(recipe_named(recipe, overrides), store_at(store), catalog=catalog)
    if as_json:
        _print(json.dumps(found, sort_keys=True))
    else:
        for key, value in found.items():
            _print(f"{key:<14} {value}")


@app.command()
def cube(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    place: Annotated[
        list[str] | None, typer.Option("--place", metavar="NAME", help="only this place or glacier; may be repeated")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Build the cubes of a recipe's imagery and print what each holds."""
    from glacier_core.steps.cubing import build_cubes
    from glacier_pipelines.cubes import cube_lines, cubes_object

    chosen, where = recipe_named(recipe, overrides), store_at(store)
    _quiet_but_progress()
    built = build_cubes(chosen, where, places=place or (), catalog=catalog, progress=_say)
    if as_json:
        _print(json.dumps(cubes_object(chosen, where, built), sort_keys=True))
    else:
        for line in cube_lines(chosen, built):
            _print(line)
    raise typer.Exit(EXIT_PARTIAL if built.failed else EXIT_DONE)


@app.command()
def preview(
    cube: Annotated[str, typer.Argument(metavar="CUBE", help="folder or URL of a cube, RECIPE or RECIPE/PLACE")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PNG", help="the picture, or a folder (default: this folder)")
    ] = None,
    band: Annotated[
        list[str] | None, typer.Option("--band", metavar="NAME", help="one band, or three as colours")
    ] = None,
    store: StoreOption = "",
) -> None:
    """Draw a contact sheet of a cube, or of each cube that was built of a recipe."""
    from glacier_core.report.contact_sheet import draw_contact_sheet
    from glacier_pipelines.cubes import cubes_named, preview_file

    found = cubes_named(cube, store)
    for name, path in found:
        file = preview_file(out, name, alone=len(found) == 1)
        draw_contact_sheet(path, file, bands=tuple(band or ()))
        _print(str(file))


@app.command()
def recipes() -> None:
    """List the shipped recipes and their kinds."""
    import yaml

    found = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RECIPES.glob("*.yaml"))}
    width = max(map(len, found))
    for name, value in found.items():
        _print(f"{name:<{width}} {value['kind']:<9} {value.get('title', '')}")


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of GeoTIFFs")],
    out: Annotated[Path | None, typer.Option("--out", help="folder of the catalog (default: DIR)")] = None,
    date_pattern: Annotated[
        str, typer.Option("--date-pattern", help="regular expression with year and month, day or doy")
    ] = r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})",
) -> None:
    """Write a STAC catalog of a folder of GeoTIFFs, for --catalog."""
    from glacier_core.sources.folder import index_folder

    _print(str(index_folder(folder, files=(), date_pattern=date_pattern, out=out)))


@app.command()
def models(name: Annotated[str, typer.Argument(help="only this model")] = "", store: StoreOption = "") -> None:
    """List registered model versions, their aliases and scores."""
    from glacier_core.steps.models import open_registry

    rows = open_registry(store_at(store)).versions(name or None)
    if not rows:
        _say("no model is registered; glacier train RECIPE makes one")
    for row in rows:
        _print(version_line(row))


@app.command()
def gc(
    store: StoreOption = "",
    older_than_days: Annotated[float, typer.Option(help="keep what is younger")] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,  # noqa: FBT002
) -> None:
    """Delete abandoned attempts and what no product refers to."""
    found = store_at(store).collect(older_than_s=86400 * older_than_days, dry_run=dry_run)
    counts = f"{len(found.attempts)} abandoned attempts, {len(found.outputs)} outputs, {len(found.leftovers)} leftovers"
    _print(f"{'would delete' if dry_run else 'deleted'} {counts}, {found.size / 1e6:.1f} MB")


def _quiet_but_progress() -> None:
    """Let the stages say how far they are; what is left out stands in the report, with its reasons."""

    class Saying(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _say(record.getMessage())

    logging.getLogger("glacier_core").addHandler(logging.NullHandler())
    progress = logging.getLogger("glacier")
    if not progress.handlers:
        progress.addHandler(Saying())
        progress.setLevel(logging.INFO)


def _finish(result: Result | SweepResult, *, as_json: bool) -> NoReturn:
    if as_json:
        _print(json.dumps(result.to_json(), sort_keys=True))
    else:
        for line in result.lines():
            _print(line)
    raise typer.Exit(result.exit_code)


def _print(text: str) -> None:
    typer.echo(text)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def guarded(command: Callable[[], Any]) -> int:
    """Run the command; the exit code. Every error of ours is one line on standard error."""
    try:
        command()
    except GlacierError as error:
        _say(f"glacier: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("glacier: interrupted")
        return EXIT_INTERRUPTED
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # typer turns the interrupt into this
            _say("glacier: interrupted")
        return end.code if isinstance(end.code, int) else EXIT_INVALID
    return 0


def main() -> None:
    """Entry point of the command `glacier`."""
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
