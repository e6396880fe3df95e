"""Small data sets in the formats of the large ones."""

from __future__ import annotations

import gzip
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

WriteIdx = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    def to_bytes(array: np.ndarray) -> bytes:
        return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    return to_bytes


@pytest.fixture
def write_idx_set(idx_bytes: Callable[[np.ndarray], bytes]) -> WriteIdx:
    """Writes the four files of a set of 6 training and 4 test images of 28×28 and gives their arrays by file name."""

    def write(folder: Path, *, packed: bool = True, dotted: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        arrays = {}
        for stem, n in (("train", 6), ("t10k", 4)):
            arrays[f"{stem}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
            arrays[f"{stem}-labels-idx1-ubyte"] = np.arange(n, dtype=np.uint8)
        for name, array in arrays.items():
            content = idx_bytes(array)
            file_name = name.replace("-idx", ".idx") if dotted else name
            if packed:
                (folder / f"{file_name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (folder / file_name).write_bytes(content)
        return arrays

    return write


@contextmanager
def _serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def serve_with() -> Callable[[Callable[..., BaseHTTPRequestHandler]], AbstractContextManager[str]]:
    """A server on this machine that answers with a handler, for as long as its context is open; gives its address."""
    return _serving


@pytest.fixture
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    """A server on this machine for the files of a folder, for as long as its context is open; gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    return lambda folder: _serving(partial(Quiet, directory=str(folder)))
