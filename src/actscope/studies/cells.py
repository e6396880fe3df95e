"""A cell of a study's grid: one configuration, known by a hash of all that decides its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actscope.training.recipes import Recipe

__all__ = ["Cell", "Plain"]

Plain = str | int | float | bool | None
"""What a setting may be: a value that JSON and a column of a table can hold."""


@dataclass(frozen=True, repr=False)
class Cell:
    """One configuration of a study. Two cells with one `id` have the same results.

    Attributes:
        study: name of the study, such as `he2021.width`.
        version: of what the study measures and how; a new one makes every earlier result one of another cell.
        settings: what tells the cells of a study apart, and what it holds fixed; each is a column of the results.
        recipe: how networks are trained; None where nothing is.

    Raises:
        TypeError: a setting that is no plain value.

    Example:
        >>> cell = Cell("he2021.width", 1, {"width": 60, "seed": 0}, Recipe(epochs=10))
        >>> cell.id == Cell("he2021.width", 1, {"seed": 0, "width": 60}, Recipe(epochs=10)).id
        True
        >>> cell
        he2021.width: width=60, seed=0
    """

    study: str
    version: int
    settings: Mapping[str, Plain]
    recipe: Recipe | None = None
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            if not (value is None or isinstance(value, str | int | float | bool)):
                raise TypeError(
                    f"setting {name}={value!r} of {self.study} must be text, a number, a truth value or None"
                )
        text = json.dumps(self.to_dict(), sort_keys=True)
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[:16])

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"{self.study}: " + ", ".join(f"{name}={value}" for name, value in self.settings.items())

    def to_dict(self) -> dict[str, Any]:
        """All that the id is the hash of, as plain values."""
        return {
            "study": self.study,
            "version": self.version,
            "settings": dict(self.settings),
            "recipe": None if self.recipe is None else self.recipe.to_dict(),
        }
