"""`report.html` of any kind of product: what it shows, pictures, tables, scores, files and lineage on one page."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glacier_core.errors import DataError
from glacier_core.report.provenance import grouped_reasons, package_versions
from glacier_core.report.rendering import rendered
from glacier_core.report.score_charts import DASH
from glacier_core.report.score_tables import Scores, score_tables

PAGE_FILE = "report.html"
PICTURE_BYTES = 12_000_000
"""Room for pictures inside the page; those that do not fit are linked."""
HEADLINE_LETTERS = 18
"""Facts with a value of at most so many letters are set large at the top."""
_PICTURES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Figure:
    """A picture of the page."""

    file: str
    """PNG, GIF or JPEG, relative to the products' folder."""
    caption: str
    """What it shows, with units."""
    alt: str
    """The same for readers who do not see it."""


@dataclass(frozen=True)
class Table:
    """A table of the page; a click on a heading sorts it."""

    title: str
    """Headline."""
    columns: Sequence[str]
    """Headings, with units."""
    rows: Sequence[Sequence[object]]
    """Cells: text, numbers or None for what is unknown."""
    note: str = ""
    """What a reader must know; may be empty."""


@dataclass(frozen=True)
class ProductPage:
    """Everything that the page of a product shows."""

    title: str
    """Headline."""
    shows: str
    """One line: what it is and what it is not, such as "Sea ice cover, not glacier area"."""
    facts: Sequence[tuple[str, object]] = ()
    """Label and value with its unit; short values are set large."""
    figures: Sequence[Figure] = ()
    """Pictures, the most important one first."""
    tables: Sequence[Table] = ()
    """Tables."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """name, version, alias, promoted; empty: no model was used."""
    scores: Scores = field(default_factory=dict)
    """Metric: {value, low, high, n, unit}."""
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    """Name of the baseline: scores as above."""
    files: Sequence[tuple[str, str]] = ()
    """Products: path relative to the folder, and what it is."""
    lineage: Sequence[Mapping[str, Any]] = ()
    """Outputs behind the products: stage, digest, inputs, packages, image, threads."""
    withheld: Sequence[Mapping[str, str]] = ()
    """Units without a result: unit, state, reason."""
    notes: Sequence[str] = ()
    """What a reader must mind, a sentence each."""
    headline: str = ""
    """The metric that the chart shows, such as `front_distance/mean`."""
    lower_is_better: bool = False
    """Whether less of it is better."""
    recipe: str = ""
    """The recipe as YAML; may be empty."""


def write_product_page(folder: Path, page: ProductPage) -> str:
    """Write the page: one self-contained file, readable on a telephone; nothing is fetched.

    Args:
        folder: the products' folder, where the figures' files lie.
        page: what it shows.

    Returns:
        The file's name.

    Raises:
        DataError: a figure's file is absent or no picture that a browser shows, or a table's row is too short or long.
    """
    model = page.model
    large = [fact for fact in page.facts if len(_text(fact[1])) <= HEADLINE_LETTERS]
    text = rendered(
        "product.html",
        title=page.title,
        page=page,
        version=f"{model['name']}/{model['version']}" if model else "",
        figures=[(_text(value), label, "") for label, value in large],
        facts=[(label, _text(value)) for label, value in page.facts if (label, value) not in large],
        pictures=_pictures(folder, page.figures),
        tables=[_table(table) for table in page.tables],
        scores=score_tables(page.scores, page.baselines, headline=page.headline, lower_is_better=page.lower_is_better),
        withheld=grouped_reasons(page.withheld),
        packages=package_versions(page.lineage),
    )
    (folder / PAGE_FILE).write_text(text, encoding="utf-8")
    return PAGE_FILE


def _pictures(folder: Path, figures: Sequence[Figure]) -> list[dict[str, str]]:
    """The figures with their files as data URLs while there is room."""
    left, found = PICTURE_BYTES, []
    for figure in figures:
        path = folder / figure.file
        kind = _PICTURES.get(path.suffix.lower())
        if kind is None or not path.is_file():
            raise DataError(f"the figure {figure.file} is no picture", expected=f"a file {', '.join(_PICTURES)}")
        data = path.read_bytes()
        fits = len(data) <= left
        left -= len(data) if fits else 0
        url = f"data:{kind};base64,{base64.b64encode(data).decode()}" if fits else ""
        found.append({"file": figure.file, "url": url, "caption": figure.caption, "alt": figure.alt})
    return found


def _table(table: Table) -> dict[str, Any]:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise DataError(
                f"a row of the table '{table.title}' has {len(row)} cells",
                expected=f"{len(table.columns)}, a column each",
            )
    kinds = ["text" if any(isinstance(row[k], str) for row in table.rows) else "" for k in range(len(table.columns))]
    longest = [max((len(_text(row[k])) for row in table.rows), default=0) for k in range(len(table.columns))]
    wrapped = [f"{kind} wrap" if kind and most > 34 else kind for kind, most in zip(kinds, longest, strict=True)]
    return {
        "title": table.title,
        "note": table.note,
        "columns": [{"name": name, "kind": kind} for name, kind in zip(table.columns, kinds, strict=True)],
        "rows": [
            [{"text": _text(cell), "key": _key(cell), "kind": kind} for cell, kind in zip(row, wrapped, strict=True)]
            for row in table.rows
        ],
    }


def _text(value: object) -> str:
    """A cell as people read it: numbers with about four significant digits, a dash for what is unknown."""
    if value is None:
        return DASH
    if isinstance(value, float):
        if not math.isfinite(value):
            return DASH
        digits = 0 if value == 0 else max(0, min(6, 3 - math.floor(math.log10(abs(value)))))
        return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return str(value)


def _key(value: object) -> str:
    """What the table is sorted by; empty goes last."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return str(value)
