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

if TYPE_CHECKING:
    from glacier_core.recipes import ExtentRecipe, Recipe
    from glacier_core.store import Store
    from glacier_pipelines.result import Result

RECIPES = Path(__file__).parent / "recipes"

app = typer.Typer(
    name="glacier",
    help="Glacier products from satellite imagery: one recipe in, per-glacier, per-year products out.",
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

    chosen, where = _trainable(recipe, overrides), _store(store)
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
    _finish(train_recipe(_trainable(recipe, overrides), _store(store), catalog=catalog), as_json=as_json)


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

    chosen = _trainable(recipe, overrides)
    _finish(monitor_recipe(chosen, _store(store), catalog=catalog, model=model, after=None), as_json=as_json)


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
    chosen = _trainable(recipe, assignments)
    _finish(evaluate_recipe(chosen, _store(store), catalog=catalog, model=model), as_json=as_json)


@app.command()
def check(
    recipe: RecipeArgument,
    store: StoreOption = "",
    catalog: CatalogOption = "",
    overrides: SetOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Validate a recipe, count its units (or frames) and bytes; nothing is run."""
    from glacier_core.recipes import CubeRecipe, ExtentRecipe

    chosen = _recipe(recipe, overrides)
    found: dict[str, Any] = {}
    if isinstance(chosen, ExtentRecipe):
        from glacier_core.steps.planning import estimate

        found = estimate(store=_store(store), recipe=chosen, catalog=catalog)
    elif isinstance(chosen, CubeRecipe):
        from glacier_core.steps.cubing import count_cubes

        found = count_cubes(chosen, store=_store(store), catalog=catalog)
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

    chosen, where = _recipe(recipe, overrides), _store(store)
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
        _print(f"{name:<{width}} {value['kind']:<7} {value.get('title', '')}")


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

    rows = open_registry(_store(store)).versions(name or None)
    if not rows:
        _say("no model is registered; glacier train RECIPE makes one")
    for row in rows:
        score = row.scores.get("iou/glacier", {}).get("value")
        shown = "" if score is None else f"IoU {score:.3f}"
        _print(f"{row.name + '/' + str(row.version):<24} {row.alias or '-':<11} {shown}")


@app.command()
def gc(
    store: StoreOption = "",
    older_than_days: Annotated[float, typer.Option(help="keep what is younger")] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,  # noqa: FBT002
) -> None:
    """Delete abandoned attempts and what no product refers to."""
    found = _store(store).collect(older_than_s=86400 * older_than_days, dry_run=dry_run)
    counts = f"{len(found.attempts)} abandoned attempts, {len(found.outputs)} outputs, {len(found.leftovers)} leftovers"
    _print(f"{'would delete' if dry_run else 'deleted'} {counts}, {found.size / 1e6:.1f} MB")


def _recipe(name: str, overrides: list[str] | None) -> Recipe:
    """The recipe that a name or a path means."""
    from glacier_core.recipes import load_recipe

    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        path = RECIPES / f"{name}.yaml"
        if not path.exists():
            import difflib

            known = sorted(found.stem for found in RECIPES.glob("*.yaml"))
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"recipe '{name}' is not known" + (f", did you mean '{near[0]}'?" if near else ""),
                expected=f"a YAML file or one of {', '.join(known)}",
            )
    return load_recipe(path, overrides=overrides or [])


def _trainable(name: str, overrides: list[str] | None) -> ExtentRecipe:
    """The recipe of a kind that models are trained for."""
    from glacier_core.recipes import ExtentRecipe

    chosen = _recipe(name, overrides)
    if not isinstance(chosen, ExtentRecipe):
        raise ConfigurationError(
            f"recipe '{chosen.name}' is of the kind '{chosen.kind}', which trains no model",
            do=f"use glacier cube {name}",
        )
    return chosen


def _store(url: str) -> Store:
    """The store that the option or the environment names, found to be writable."""
    from glacier_core.settings import Settings
    from glacier_core.store import Store

    store = Store(url or Settings().store)
    if store.url.startswith("memory:"):
        raise ConfigurationError(
            "a memory store ends with each process", expected="a store that tasks share", do="use a folder or s3://"
        )
    store.check_writable()
    return store


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


def _finish(result: Result, *, as_json: bool) -> NoReturn:
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
