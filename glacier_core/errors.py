"""One hierarchy of errors. Every error says what came, what was expected and what to do, and knows its exit code."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_INVALID = 2
EXIT_PARTIAL = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130


class GlacierError(Exception):
    """The root of all errors that Glacierflow raises on purpose.

    Args:
        got: what came, as a clause that names the offending thing ("recipe key 'yeers' is unknown").
        expected: what would have been right, as a noun phrase ("one of years, imagery"); may be empty.
        do: what the reader can do about it, as an imperative ("rename it to 'years'"); may be empty.
    """

    exit_code = EXIT_INVALID

    def __init__(self, got: str, *, expected: str = "", do: str = "") -> None:
        super().__init__(got, expected, do)
        self.got = got
        self.expected = expected
        self.do = do

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a trip between processes: exceptions with keyword-only arguments do not by themselves."""
        return _rebuild, (type(self), self.got, self.expected, self.do)

    def __str__(self) -> str:
        """The error in one line."""
        parts = [self.got]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.do:
            parts.append(self.do)
        return "; ".join(" ".join(part.split()) for part in parts)


def _rebuild(kind: type[GlacierError], got: str, expected: str, do: str) -> GlacierError:
    return kind(got, expected=expected, do=do)


class ConfigurationError(GlacierError):
    """The recipe, the command line or the environment is wrong."""


class DataError(GlacierError):
    """Input data cannot be used, and without it nothing usable remains."""


class SceneError(DataError):
    """One scene cannot be used (truncated, all cloud, ...). It is recorded and left out; the run goes on."""


class UnitError(DataError):
    """One unit cannot be done. It is recorded beside the unit's output; its batch goes on."""


class WithheldError(UnitError):
    """A unit whose result would not be trustworthy (nothing clear, no outline): withheld, not failed."""


class StoreError(GlacierError):
    """The store refused or lost something: not writable, not published, damaged."""


class NotPublishedError(StoreError):
    """Something was read that no stage has published."""


class ServiceUnavailableError(GlacierError):
    """A service (STAC API, object store, tracking server) cannot be reached."""

    exit_code = EXIT_UNREACHABLE
