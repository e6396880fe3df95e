"""The colours of every figure: few, named after what they mean, and told apart without red against green."""

from __future__ import annotations

__all__ = [
    "ALIVE",
    "ALWAYS_ON",
    "CLASSES",
    "CONSTANT",
    "DEAD",
    "MARKERS",
    "NEUTRAL",
    "TEST",
    "TRAIN",
    "class_colour",
    "class_marker",
]

# Petroff (2021, "Accessible color sequences for data visualization") chose ten colours under simulated colour blindness; the palest
# three are darkened a little here, so that small marks hold on white.
CLASSES = (
    "#3f90da",
    "#f5a000",
    "#bd1f01",
    "#8c9c9a",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#ab9d5c",
    "#656977",
    "#5fc4c9",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")

TRAIN = "#2f6fb0"
TEST = "#d95f02"
NEUTRAL = "#73797f"

ALIVE = "#cfd8df"
ALWAYS_ON = "#e8a33d"
CONSTANT = "#8a7fb5"
DEAD = "#9c2a1f"


def class_colour(index: int) -> str:
    """The colour of the class with this position; after the tenth they begin again, with another marker.

    Example:
        >>> class_colour(0) == class_colour(10), class_marker(0) == class_marker(10)
        (True, False)
    """
    return CLASSES[index % len(CLASSES)]


def class_marker(index: int) -> str:
    """The marker of the class with this position."""
    return MARKERS[index // len(CLASSES) % len(MARKERS)]
