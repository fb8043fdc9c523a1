"""What a table of results is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

SEEDS = (0, 1, 2)
ONE = (0,)
"""For what takes long, where each of its networks has three seeds in another table."""


@dataclass(frozen=True)
class Column:
    """A score that a table shows."""

    metric: str
    """As in `scores.json`, such as `iou/glacier`."""
    heading: str
    """What stands above it, with its unit."""
    digits: int = 3
    """Decimals."""
    group: str = ""
    """Columns of one group make one table; groups follow each other under the same heading."""
    adds_up: bool = False
    """Whether it is a count, which is summed over the folds; else the mean, each fold counted by its test units."""


@dataclass(frozen=True)
class Fold:
    """One way to divide the data: what is held out in it."""

    name: str
    """What is held out."""
    overrides: tuple[str, ...]
    """Recipe keys, `key=value`."""


@dataclass(frozen=True)
class Experiment:
    """A model, trained once for each seed and fold."""

    label: str
    """Its line of the table."""
    recipe: str
    """A shipped recipe."""
    overrides: tuple[str, ...] = ()
    """Recipe keys, `key=value`."""
    seeds: tuple[int, ...] = SEEDS
    """Values of `training.seed`."""
    against: str = ""
    """Label of the model that it is compared with beside the baselines: the same without one of its parts."""


@dataclass(frozen=True)
class Check:
    """A measurement that trains nothing."""

    label: str
    """Its line."""
    function: str
    """`module:function`, called with the folder of GLACIER_DATA; returns a list of (what, value as text)."""
    needs: str = ""
    """Folder below GLACIER_DATA; empty: none."""


@dataclass(frozen=True)
class Table:
    """One table: models that are trained and scored on the same data."""

    name: str
    """Identifies its section in docs/results.md."""
    kind: str
    """Kind of work."""
    title: str
    """Headline."""
    needs: str
    """Folder below GLACIER_DATA; empty: the data are simulated."""
    about: str
    """Data, split and what counts, in a few sentences."""
    columns: tuple[Column, ...]
    """Scores; the first is the one that models are compared by."""
    experiments: tuple[Experiment, ...] = ()
    """Models."""
    folds: tuple[Fold, ...] = (Fold("", ()),)
    """Each model is trained in every fold; scores are pooled over them."""
    baselines: tuple[str, ...] = ()
    """Baselines that are shown; none: all."""
    checks: tuple[Check, ...] = ()
    """Measurements beside the models."""
    published: tuple[str, ...] = field(default=())
    """What others published on these data, a sentence each with its source."""
