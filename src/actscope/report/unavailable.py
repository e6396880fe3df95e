"""What stands where a measure could not be taken, so that one missing number does not cost the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Unavailable", "attempt"]

T = TypeVar("T")


@dataclass(frozen=True)
class Unavailable:
    """A measure that these data do not admit, and why."""

    reason: str

    def __str__(self) -> str:
        return f"not available: {self.reason}"

    def to_dict(self) -> dict[str, str]:
        """The reason as plain values."""
        return {"not_available": self.reason}


def attempt(measure: Callable[[], T]) -> T | Unavailable:
    """The measure's result, or why it cannot be had: the message of the error by which it refused the data.

    Only what says that the data do not fit is caught (`ValueError`, `MemoryError`); a mistake in a program is
    still raised.

    Example:
        >>> attempt(lambda: 6 * 7)
        42
        >>> print(attempt(lambda: int("six")))
        not available: invalid literal for int() with base 10: 'six'
    """
    try:
        return measure()
    except (ValueError, MemoryError) as error:
        return Unavailable(str(error) or type(error).__name__)
