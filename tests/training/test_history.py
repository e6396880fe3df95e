from __future__ import annotations

import json

import pytest

from actscope.training import History, Recipe

HISTORY = History(
    Recipe(epochs=2),
    seed=0,
    loss=(1.0, 0.5),
    train_accuracy=(0.6, 0.8),
    test_loss=(0.9, 0.7),
    test_accuracy=(0.5, 0.7),
    lr=(1e-3, 1e-3),
    seconds=(0.5, 0.7),
)


def test_a_person_can_read_how_it_went() -> None:
    assert repr(HISTORY) == "History(2 epochs in 1.2 s: loss 0.5, train accuracy 0.8000, test accuracy 0.7000)"


def test_the_dict_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(HISTORY.to_dict()))["recipe"]["lr"] == 1e-3


@pytest.mark.parametrize(
    ("quantity", "values"), [("accuracy", [(0.6, 0.8), (0.5, 0.7)]), ("loss", [(1.0, 0.5), (0.9, 0.7)])]
)
def test_the_plot_has_a_line_for_each_split_over_epochs(quantity: str, values: list[tuple[float, float]]) -> None:
    ax = HISTORY.plot(quantity=quantity)
    assert [tuple(line.get_ydata()) for line in ax.lines] == values
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(1, 2), (1, 2)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", quantity)


def test_without_a_test_set_the_plot_has_one_line() -> None:
    history = History(Recipe(epochs=1), seed=0, loss=(1.0,), train_accuracy=(0.5,))
    assert len(history.plot().lines) == 1


def test_the_plot_draws_on_the_axes_given() -> None:
    ax = HISTORY.plot()
    assert HISTORY.plot(ax) is ax


def test_another_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="quantity='lr' is not recorded; choose 'accuracy' or 'loss'"):
        HISTORY.plot(quantity="lr")
