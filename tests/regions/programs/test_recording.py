"""A recording holds what happened in one forward pass, and the values as they were when they were read."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actscope.regions.programs.nesting import leaves
from actscope.regions.programs.recording import Ref, record


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        view = y[:, 0]
        z = y + 1
        y.relu_()
        return z + y + view[:, None]


def test_calls_are_named_as_pytorch_spells_them_and_say_which_of_them_write() -> None:
    recording = record(Plain().double(), torch.ones(2, 3, dtype=torch.float64))
    spellings = [call.spelling for call in recording.calls]
    assert [name for name in spellings if name in ("mul", "add", "relu_")] == ["mul", "add", "relu_", "add", "add"]
    (write,) = [call for call in recording.calls if call.written]
    assert (write.spelling, write.name) == ("relu_", "relu")


def test_values_are_those_from_before_a_write_for_what_was_read_before() -> None:
    x = torch.tensor([[-1.0, 2.0]], dtype=torch.float64)
    recording = record(Plain().double(), x.repeat(2, 1))
    (write,) = [call for call in recording.calls if call.written]
    before, after = recording.tensors[write.refs()[0]], recording.tensors[write.outputs[0]]
    assert before[0].tolist() == [-2.0, 4.0]
    assert after[0].tolist() == [0.0, 4.0]


def test_a_write_tells_which_other_tensors_lie_there() -> None:
    recording = record(Plain().double(), -torch.ones(2, 3, dtype=torch.float64))
    (write,) = [call for call in recording.calls if call.written]
    ((old, new),) = write.rewritten
    assert recording.tensors[old].tolist() == [-2.0, -2.0]
    assert recording.tensors[new].tolist() == [0.0, 0.0]


def test_disjoint_parts_of_one_memory_do_not_disturb_each_other() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            left, right = (2 * x).chunk(2, dim=1)
            return left.relu_() + right

    recording = record(Halves(), torch.ones(2, 4, dtype=torch.float64))
    (write,) = [call for call in recording.calls if call.written]
    assert [tuple(recording.tensors[old].shape) for old, _ in write.rewritten] == [(2, 4)]


def test_activations_are_seen_with_their_names_and_pre_activations() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 2), nn.ReLU6(inplace=True)).double()
    recording = record(model, torch.randn(8, 3, dtype=torch.float64))
    seen = [call.seen for call in recording.calls if call.seen is not None]
    assert [(each.name, each.activation.kind) for each in seen] == [("1", "prelu"), ("3", "relu6")]
    assert [tuple(recording.tensors[each.register].shape) for each in seen] == [(8, 4), (8, 2)]
    assert bool((recording.tensors[seen[1].register] < 0).any())


def test_the_output_is_known_by_its_register() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> dict[str, tuple[Tensor, ...]]:
            return {"both": (x, F.relu(x))}

    recording = record(Pair(), torch.ones(2, 3, dtype=torch.float64))
    registers = [leaf.register for leaf in leaves(recording.output) if isinstance(leaf, Ref)]
    assert registers[0] == 0
    assert registers[1] == recording.calls[-1].outputs[0]


def test_what_a_pass_writes_into_the_model_is_kept_as_it_was_in_that_pass() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    model = Counting().double()
    first = record(model, torch.ones(2, 3, dtype=torch.float64))
    record(model, torch.ones(2, 3, dtype=torch.float64))
    product = next(call for call in first.calls if call.spelling == "mul")
    assert first.tensors[product.refs()[1]].item() == 1.0


def test_other_seeds_draw_other_numbers_and_the_random_states_stay() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(3)

    x = torch.zeros(2, 3, dtype=torch.float64)
    state = torch.get_rng_state()
    one, other, again = (record(Noise(), x, seed=seed).tensors[-1] for seed in (0, 1, 0))
    assert not torch.equal(one, other)
    assert torch.equal(one, again)
    assert torch.equal(torch.get_rng_state(), state)
