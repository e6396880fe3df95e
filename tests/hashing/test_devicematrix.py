"""Bits written out on a device give what packed bits give; on the CPU, which is a device too, and on a GPU where there is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from actscope import Codes
from actscope.codes.bits import pack_bits
from actscope.hashing import fit_kmeans, fit_logistic
from actscope.hashing.bitmatrix import BitMatrix, varying_bits
from actscope.hashing.devicematrix import DeviceMatrix, fits_on

CPU = torch.device("cpu")


def some_codes(n: int = 700, d: int = 60, n_classes: int = 4, noise: float = 0.25) -> Codes:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, n)
    return Codes.from_bits((rng.random((n_classes, d)) < 0.5)[labels] ^ (rng.random((n, d)) < noise), labels=labels)


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> list[DeviceMatrix]:
    made: list[DeviceMatrix] = []

    def of(packed: np.ndarray, columns: np.ndarray) -> DeviceMatrix:
        made.append(DeviceMatrix.of(packed, columns, CPU))
        return made[-1]

    monkeypatch.setattr("actscope.hashing.features.BitMatrix", SimpleNamespace(of=of))
    return made


@pytest.mark.parametrize("at_a_time", [1, 1 << 12, 1 << 26])
def test_products_are_those_of_packed_bits(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actscope.hashing.devicematrix._BYTES_AT_A_TIME", at_a_time)
    rng = np.random.default_rng(1)
    bits = rng.random((530, 77)) < 0.4
    bits[:, [3, 40]] = True
    packed = pack_bits(bits)
    columns = varying_bits(packed)
    ours, theirs = DeviceMatrix.of(packed, columns, CPU), BitMatrix.of(packed, columns)
    assert (ours.n_rows, ours.n_features) == (theirs.n_rows, theirs.n_features) == (530, 75)
    weights = rng.normal(size=(7, 75)).astype(np.float32)
    np.testing.assert_allclose(ours.dots(weights, 512, 530), theirs.dots(weights, 512, 530), atol=1e-4)
    some = np.array([5, 0, 529])
    for positions in (slice(0, 3), some):
        coefficients = rng.normal(size=(4, 3)).astype(np.float32)
        np.testing.assert_allclose(ours.sums(coefficients, positions), theirs.sums(coefficients, positions), atol=1e-5)
    np.testing.assert_array_equal(ours.rows(some), theirs.rows(some))
    np.testing.assert_array_equal(ours.squared_norms(), theirs.squared_norms())


def test_clusters_are_those_of_the_cpu(on_device: list[DeviceMatrix], monkeypatch: pytest.MonkeyPatch) -> None:
    codes = some_codes()
    ours = [fit_kmeans(codes, seed=seed) for seed in range(3)]
    assert len(on_device) == 3
    monkeypatch.undo()
    for seed, fit in enumerate(ours):
        np.testing.assert_array_equal(fit.assigned, fit_kmeans(codes, seed=seed).assigned)


@pytest.mark.parametrize("scheme", ["ovo", "multinomial"])
def test_a_regression_is_that_of_the_cpu(
    scheme: str, on_device: list[DeviceMatrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = some_codes()
    ours = fit_logistic(codes, scheme=scheme, tol=1e-6)
    assert len(on_device) == 4
    monkeypatch.undo()
    theirs = fit_logistic(codes, scheme=scheme, tol=1e-6)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=2e-3)
    np.testing.assert_array_equal(ours.predict(codes), theirs.predict(codes))


def test_a_device_that_is_almost_full_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert fits_on(torch.device("cuda"), 5, 25)
    assert not fits_on(torch.device("cuda"), 5, 26)
    assert fits_on(CPU, 10**9, 10**9)


def test_numbers_are_in_single_precision_whatever_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        found = DeviceMatrix.of(np.array([[5], [2]], np.uint8), np.arange(3), CPU)
        assert found.dots(np.ones((1, 3), np.float32), 0, 2).tolist() == [[2, 1]]
    finally:
        torch.set_default_dtype(before)


def test_a_gpu_multiplies_as_exactly_as_it_can(on_device: list[DeviceMatrix], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    dots = DeviceMatrix.dots

    def watched(self: DeviceMatrix, *arguments: Any) -> Any:
        seen.add(torch.get_float32_matmul_precision())
        return dots(self, *arguments)

    monkeypatch.setattr(DeviceMatrix, "dots", watched)
    torch.set_float32_matmul_precision("high")
    try:
        fit_kmeans(some_codes())
        fit_logistic(some_codes())
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == {"highest"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_clusters_and_regressions_are_those_of_the_cpu() -> None:
    codes = some_codes()
    np.testing.assert_array_equal(fit_kmeans(codes, device="cuda").assigned, fit_kmeans(codes).assigned)
    ours, theirs = fit_logistic(codes, device="cuda"), fit_logistic(codes)
    assert np.mean(ours.predict(codes) == theirs.predict(codes)) > 0.995
