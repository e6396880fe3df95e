"""Which values count as zero."""

from __future__ import annotations

__all__ = ["TOLERANCE", "require_tolerance"]

TOLERANCE = 1e-9
"""A value counts as positive or negative beyond this share of its scale."""

_LEAST, _MOST = 1e-13, 1e-5
"""Below the least, rounding makes regions that are none; beyond the most, regions that are seen by eye are lost."""


def require_tolerance(tolerance: float) -> None:
    """Check that rounding is within a tolerance, and little else.

    Raises:
        ValueError: if it is not from 1e-13 to 1e-5.

    Example:
        >>> require_tolerance(0.0)
        Traceback (most recent call last):
        ...
        ValueError: tolerance=0.0: give a share from 1e-13, below which rounding makes regions that are none, to 1e-05
    """
    if not _LEAST <= tolerance <= _MOST:
        raise ValueError(
            f"tolerance={tolerance!r}: give a share from {_LEAST:g}, below which rounding makes regions that are none, to {_MOST:g}"
        )
