"""Data to train on, networks, and the loop that trains them."""

from actscope.training.architectures import ARCHITECTURES, architecture
from actscope.training.checkpoints import Checkpoints
from actscope.training.data import LabelledData, random_labels, uniform_pixels, unit_ball
from actscope.training.datafile import DataFileError
from actscope.training.datasets import DATASETS, digits, load_dataset
from actscope.training.downloads import DownloadError
from actscope.training.evaluating import evaluate
from actscope.training.fitting import fit
from actscope.training.history import DivergenceError, Evaluation, History
from actscope.training.models import ACTIVATIONS, MLP, small_resnet
from actscope.training.recipes import RECIPES, Recipe
from actscope.training.weights import LoadedWeights, load_weights, save_weights

__all__ = [
    "load_dataset",
    "DATASETS",
    "digits",
    "LabelledData",
    "unit_ball",
    "uniform_pixels",
    "random_labels",
    "DataFileError",
    "DownloadError",
    "MLP",
    "small_resnet",
    "architecture",
    "ARCHITECTURES",
    "ACTIVATIONS",
    "fit",
    "Checkpoints",
    "evaluate",
    "Recipe",
    "RECIPES",
    "History",
    "Evaluation",
    "DivergenceError",
    "save_weights",
    "load_weights",
    "LoadedWeights",
]
