import copy
import json
import pickle

import pytest

from actscope.hashing import Accuracy


def accuracy(**given):
    fields = {"method": "9-NN, Hamming distance", "n_train": 60_000, "n_test": 10_000, "n_bits": 50, "n_bits_used": 50}
    return Accuracy(0.9034, **{**fields, **given})


def test_it_is_a_number():
    value = accuracy()
    assert isinstance(value, float)
    assert value == 0.9034
    assert value + 1 == 1.9034
    assert type(value + 1) is float
    assert f"{value:.2f}" == "0.90"
    assert json.dumps({"knn": value}) == '{"knn": 0.9034}'


def test_it_says_what_it_was_measured_on():
    expected = "0.9034 (9-NN, Hamming distance; fitted on 60,000 examples, measured on 10,000; 50 bits)"
    assert repr(accuracy()) == str(accuracy()) == expected


def test_a_subset_and_constant_bits_are_said():
    shown = repr(accuracy(n_bits_used=48, note="fitted on a random 10 of 20 examples, seed 3"))
    assert shown.endswith("; 48 of 50 bits vary; fitted on a random 10 of 20 examples, seed 3)")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_keep_everything(duplicate):
    value = accuracy(note="not converged")
    assert duplicate(value).to_dict() == value.to_dict()
    assert repr(duplicate(value)) == repr(value)


def test_it_is_plain_json():
    assert json.loads(json.dumps(accuracy().to_dict())) == {
        "value": 0.9034,
        "method": "9-NN, Hamming distance",
        "n_train": 60_000,
        "n_test": 10_000,
        "n_bits": 50,
        "n_bits_used": 50,
        "note": None,
    }


def test_it_does_not_change():
    with pytest.raises(AttributeError, match="does not change"):
        accuracy().note = "better"
