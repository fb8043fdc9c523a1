"""What a command found and made, as one object: the same keys for every kind, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from glacier_core.errors import EXIT_DONE, EXIT_PARTIAL
from glacier_core.recipes import Recipe
from glacier_core.store import Store

SCHEMA = "glacierflow/result/1"
SCORES_LISTED = 12


@dataclass
class Result:
    """The outcome of a command; `to_json` is described by `schema/result.json`."""

    recipe: str
    """Name of the recipe."""
    kind: str
    """Kind of the recipe."""
    store: str
    """URL of the store."""
    products: list[str] = field(default_factory=list)
    """URLs of product folders."""
    report: str = ""
    """URL of the page to open first."""
    model: dict[str, str] = field(default_factory=lambda: {"name": "", "version": "", "alias": ""})
    """The model version that was trained or used."""
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Scores of the model: metric to {value, low, high, n, unit}."""
    baselines: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """Scores of each baseline."""
    headline: dict[str, Any] = field(default_factory=lambda: {"metric": "", "lower_is_better": False})
    """The metric that stands for a model of this kind; for people, not part of the JSON object."""
    reused: list[str] = field(default_factory=list)
    """Stages of which nothing had to be made."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage, summed over its tasks."""
    units: dict[str, int] = field(default_factory=lambda: {"done": 0, "failed": 0, "withheld": 0})
    """Units of the last pipeline by outcome."""
    notes: list[dict[str, str]] = field(default_factory=list)
    """Units that failed or were withheld, with reasons; for people, not part of the JSON object."""
    _made: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, recipe: Recipe, store: Store) -> Result:
        """An empty result for a recipe."""
        return cls(recipe=recipe.name, kind=recipe.kind, store=store.url)

    @property
    def exit_code(self) -> int:
        """0, or 3 where units failed or were withheld."""
        return EXIT_PARTIAL if self.units["failed"] or self.units["withheld"] else EXIT_DONE

    def absorb(self, notes: Iterable[dict[str, Any]], *, counted: str) -> None:
        """Take in what the steps of one pipeline run left behind.

        Args:
            notes: the steps' notes.
            counted: the stage whose entries say how each unit ended; what the plan withheld is added.
        """
        found = list(notes)
        made = {note["stage"] for note in found if not note["reused"]}
        for note in found:
            stage, facts = note["stage"], note["facts"]
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + note["seconds"], 3)
            self.model = facts.get("model", self.model)
            self.scores = facts.get("scores", self.scores)
            self.baselines = facts.get("baselines", self.baselines)
            self.headline = facts.get("headline", self.headline)
            if "products" in facts:
                self.products.insert(0, facts["products"])
                self.report = f"{facts['products']}/{facts['page']}"
        self.reused = sorted(({note["stage"] for note in found} | set(self.reused)) - made - self._made)
        self._made |= made
        last = [note for note in found if note["stage"] in (counted, "plan")]
        self.units = {state: sum(note["units"][state] for note in last) for state in self.units}
        self.notes = [each for note in last for each in note["notes"]]

    def to_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "schema": SCHEMA,
            "recipe": self.recipe,
            "kind": self.kind,
            "store": self.store,
            "products": self.products,
            "report": self.report,
            "model": self.model,
            "scores": self.scores,
            "baselines": self.baselines,
            "reused": self.reused,
            "seconds": self.seconds,
            "units": self.units,
        }

    def lines(self) -> list[str]:
        """The result for people."""
        lines = []
        if self.model["name"]:
            standing = self.model["alias"] or "unpromoted"
            lines.append(f"model     {self.model['name']}/{self.model['version']} ({standing})")
        lines.extend(self._score_lines())
        metric = self.headline["metric"]
        best = self._best_baseline()
        if best:
            lines.append(f"baseline  {metric:<20} {score_text(self.baselines[best][metric])}  ({best})")
        lines.extend(f"products  {folder}" for folder in self.products)
        if self.report:
            lines.append(f"report    {self.report}")
        if self.reused:
            lines.append(f"reused    {', '.join(self.reused)}")
        lines.append(f"units     {', '.join(f'{count} {state}' for state, count in self.units.items())}")
        lines.extend(f"  {note['unit']} {note['state']}: {note['reason']}" for note in self.notes)
        return lines

    def _score_lines(self) -> list[str]:
        """The scores that a person wants to see at once: the headline first, and none of parts of the test set."""
        whole = [metric for metric in self.scores if "@" not in metric]
        whole.sort(key=lambda metric: metric != self.headline["metric"])
        lines = [f"score     {metric:<20} {score_text(self.scores[metric])}" for metric in whole[:SCORES_LISTED]]
        more = len(self.scores) - len(lines)
        return [*lines, f"          and {more} more in the report"] if more else lines

    def _best_baseline(self) -> str:
        """The baseline that does best by the headline metric, or empty."""
        metric = self.headline["metric"]
        known = {
            name: found[metric]["value"]
            for name, found in self.baselines.items()
            if found.get(metric, {}).get("value") is not None
        }
        if not known:
            return ""
        return (
            min(known, key=known.__getitem__) if self.headline["lower_is_better"] else max(known, key=known.__getitem__)
        )


def score_text(score: dict[str, Any]) -> str:
    """A score with its interval, for people."""
    unit = "" if score["unit"] in ("", "1") else f" {score['unit']}"
    interval = "" if score["low"] is None else f"  [{score['low']:.3f}, {score['high']:.3f}]"
    value = "unknown" if score["value"] is None else f"{score['value']:.3f}{unit}"
    return f"{value}{interval}  n={score['n']}"
