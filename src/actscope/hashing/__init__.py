"""How good a hash a network's codes are: how unique, and how well they tell classes apart."""

from actscope.hashing.accuracy import Accuracy
from actscope.hashing.collisions import Determinism, determinism
from actscope.hashing.kmeans import KMeansFit, Matching, fit_kmeans, fit_kmeans_each, kmeans_accuracy
from actscope.hashing.knn import knn_accuracy, knn_labels
from actscope.hashing.logistic import LogisticFit, Scheme, fit_logistic, logistic_accuracy
from actscope.hashing.membership import Group, groups, largest_groups
from actscope.hashing.redundancy import redundancy_by_site, redundancy_ratio, shared_by_site, shared_ratio
from actscope.hashing.streaming import RedundancyRatio
from actscope.hashing.subsampling import Rarefaction, rarefaction

__all__ = [
    "redundancy_ratio",
    "shared_ratio",
    "redundancy_by_site",
    "shared_by_site",
    "determinism",
    "Determinism",
    "RedundancyRatio",
    "groups",
    "largest_groups",
    "Group",
    "rarefaction",
    "Rarefaction",
    "knn_accuracy",
    "knn_labels",
    "kmeans_accuracy",
    "fit_kmeans",
    "fit_kmeans_each",
    "KMeansFit",
    "Matching",
    "logistic_accuracy",
    "fit_logistic",
    "LogisticFit",
    "Scheme",
    "Accuracy",
]
