import threading

import pytest
import torch

from actscope.hashing.blocks import row_blocks, spread_blocks


@pytest.mark.parametrize(("n_rows", "n_features"), [(0, 5), (1, 0), (5000, 300), (1500, 2_000_000)])
def test_blocks_cover_the_rows_from_multiples_of_512(n_rows, n_features):
    blocks = row_blocks(n_rows, n_features)
    assert [i for start, stop in blocks for i in range(start, stop)] == list(range(n_rows))
    assert all(start % 512 == 0 for start, _ in blocks)


def test_wide_rows_come_in_smaller_blocks():
    assert len(row_blocks(2048, 1_000_000)) > len(row_blocks(2048, 1000))


@pytest.mark.parametrize("bytes_per_call", [0, 1 << 30])
def test_every_block_is_worked_on_once(bytes_per_call):
    blocks, seen, lock = row_blocks(100_000, 1000), [], threading.Lock()

    def work(first, last):
        with lock:
            seen.append((first, last))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        spread_blocks(work, blocks, 1000, bytes_per_call=bytes_per_call)
    finally:
        torch.set_num_threads(before)
    assert sorted(i for first, last in seen for i in range(first, last)) == list(range(len(blocks)))
    assert len(seen) == 2 if bytes_per_call else len(seen) > 2
