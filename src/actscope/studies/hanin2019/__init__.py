"""The experiments of Hanin and Rolnick, *Deep ReLU networks have surprisingly few activation patterns* (2019)."""

from actscope.studies.hanin2019.expectation import EXPECTATION
from actscope.studies.hanin2019.hyperparameters import HYPERPARAMETERS
from actscope.studies.hanin2019.initialization import INITIALIZATION
from actscope.studies.hanin2019.labels import LABELS
from actscope.studies.hanin2019.memorization import MEMORIZATION
from actscope.studies.hanin2019.pixels import PIXELS
from actscope.studies.hanin2019.training import TRAINING

__all__ = ["STUDIES"]

STUDIES = (TRAINING, LABELS, PIXELS, MEMORIZATION, INITIALIZATION, HYPERPARAMETERS, EXPECTATION)
