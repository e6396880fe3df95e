"""What the neurons of a model do: how alike their patterns are, where they change, and which of them do nothing."""

from actscope.neurons.checkup import Vitals
from actscope.neurons.distribution import SimilarityCurve, SimilarityDistribution, similarity_distribution
from actscope.neurons.expectation import SimilarityMeans, mean_similarity
from actscope.neurons.measuring import vitals
from actscope.neurons.similarity import pattern_similarity
from actscope.neurons.streaming import MeanSimilarity
from actscope.neurons.verdicts import Criterion, Thresholds
from actscope.neurons.vitalstally import VitalsTally

__all__ = [
    "pattern_similarity",
    "mean_similarity",
    "SimilarityMeans",
    "MeanSimilarity",
    "similarity_distribution",
    "SimilarityDistribution",
    "SimilarityCurve",
    "vitals",
    "Vitals",
    "VitalsTally",
    "Thresholds",
    "Criterion",
]
