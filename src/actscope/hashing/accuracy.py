"""An accuracy that knows what it was measured on."""

from __future__ import annotations

from typing import Any

__all__ = ["Accuracy"]


class Accuracy(float):
    """The share of examples that got their own label: a float in [0, 1], with what a reader has to know about it.

    Arithmetic and comparisons are those of the float, and give plain floats.

    Attributes:
        method: how labels were predicted from codes.
        n_train: examples that the method was fitted on.
        n_test: examples that were classified.
        n_bits: bits of one code.
        n_bits_used: bits among them that vary over the examples fitted on; the others carry nothing.
        note: what sets this number apart, such as a subset of the examples or a fit that did not converge; else `None`.

    Example:
        >>> accuracy = Accuracy(0.875, method="9-NN, Hamming", n_train=32, n_test=8, n_bits=10, n_bits_used=9)
        >>> accuracy
        0.8750 (9-NN, Hamming; fitted on 32 examples, measured on 8; 9 of 10 bits vary)
        >>> accuracy > 0.8, f"{accuracy:.1%}", 1 - accuracy
        (True, '87.5%', 0.125)
    """

    method: str
    n_train: int
    n_test: int
    n_bits: int
    n_bits_used: int
    note: str | None

    def __new__(
        cls,
        value: float,
        *,
        method: str,
        n_train: int,
        n_test: int,
        n_bits: int,
        n_bits_used: int,
        note: str | None = None,
    ) -> Accuracy:
        accuracy = super().__new__(cls, value)
        accuracy.__dict__.update(
            method=method, n_train=n_train, n_test=n_test, n_bits=n_bits, n_bits_used=n_bits_used, note=note
        )
        return accuracy

    def to_dict(self) -> dict[str, Any]:
        """The value and the fields as plain values that JSON can hold."""
        return {"value": float(self), **self.__dict__}

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        return (float(self),), dict(self.__dict__)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an Accuracy does not change; {name!r} cannot be set")

    def __repr__(self) -> str:
        bits = (
            f"{self.n_bits:,} bits"
            if self.n_bits_used == self.n_bits
            else f"{self.n_bits_used:,} of {self.n_bits:,} bits vary"
        )
        note = f"; {self.note}" if self.note else ""
        return f"{float(self):.4f} ({self.method}; fitted on {self.n_train:,} examples, measured on {self.n_test:,}; {bits}{note})"
