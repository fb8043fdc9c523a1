"""Pages from their templates: one environment, one style, one script for all of them."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from glacier_core.report.score_charts import DASH, number_text


def rendered(template: str, **values: Any) -> str:
    """A page from its template; everything is escaped, and only the page's own script may run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).parent
    script = (here / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(score=number_text, km2=km2_text, signed=signed_text)
    return environment.get_template(template).render(
        **values,
        style=Markup((here / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def km2_text(value: float | None) -> str:
    """An area with about four significant digits."""
    if value is None or not math.isfinite(value):
        return DASH
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{decimals}f}"


def signed_text(value: float | None, decimals: int = 2) -> str:
    """A number with its sign, the minus a real one; a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value, decimals) + 0.0:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")
