"""How many regions a random network has on average at initialization."""

from __future__ import annotations

import math
import sys

from actscope.regions.arrangements import whole_number

__all__ = ["hanin_rolnick"]

_LARGEST = math.log(sys.float_info.max)


def hanin_rolnick(n_neurons: int, n_in: int, *, T: float, volume: float = 1.0, log: bool = False) -> float:
    """The bound of Hanin & Rolnick on the *expected* number of activation regions of a random ReLU network in a cube of input space.

        E[number of regions that meet the cube] ≤ volume · (T N)^n / n!   if N ≥ n,   2^N otherwise

    for N neurons and n inputs, whatever the depth (Hanin & Rolnick 2019, Theorem 5). Read it with care:

    - It bounds a mean over random weights and biases, at initialization and near it. It says nothing of one network, and is never to be
      quoted for one that has been trained.
    - T is a constant of the initialization (of the densities of the biases and the size of the gradients), which the theorem leaves
      open, and the cube must not be smaller than another such constant. With T=1 and volume=1 the result is no bound but the
      reference curve N^n / n!, about what is counted at initialization: N on a line, N²/2 in a plane.
    - T is an inverse length: it belongs to the unit in which `volume` is measured.

    Args:
        n_neurons: number of hidden neurons in all, N.
        n_in: dimension of the input space, or of the line or plane in it, n.
        T: the constant of the initialization; 1.0 for the reference curve.
        volume: the cube's, in n dimensions. It plays no part if N < n.
        log: return the natural logarithm, which does not overflow.

    Raises:
        TypeError: if `n_neurons` or `n_in` is not an integer.
        ValueError: if a number is not positive and finite.
        OverflowError: if the value is too large for a float; `log=True` gives its logarithm.

    Example:
        >>> hanin_rolnick(96, 1, T=1.0), hanin_rolnick(96, 2, T=1.0)
        (96.0, 4608.0)
        >>> round(hanin_rolnick(1000, 784, T=1.0, log=True), 1)
        970.5
    """
    n_neurons, n_in = whole_number(n_neurons, "n_neurons", least=1), whole_number(n_in, "n_in", least=1)
    for name, value in (("T", T), ("volume", volume)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}; expected a positive finite number")
    if n_neurons < n_in:
        logarithm = n_neurons * math.log(2)
    else:
        logarithm = n_in * (math.log(T) + math.log(n_neurons)) - math.lgamma(n_in + 1) + math.log(volume)
    if log:
        return logarithm
    if logarithm >= _LARGEST:
        raise OverflowError(
            f"n_neurons={n_neurons}, n_in={n_in} give e^{logarithm:.1f}, too large for a float; log=True returns the exponent"
        )
    if n_neurons < n_in:
        return float(2**n_neurons)
    # Integers, because neither the power nor the factorial need fit a float for their quotient to do so.
    (a, b), (v, w) = T.as_integer_ratio(), volume.as_integer_ratio()
    return float(v * (a * n_neurons) ** n_in / (w * b**n_in * math.factorial(n_in)))
