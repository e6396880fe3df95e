"""What the neurons of a model do: how alike their patterns are, where they change, and which of them do nothing."""

from actscope.neurons.adjacency import RegionBorders, region_borders
from actscope.neurons.affinity import GradientAffinity, gradient_affinity
from actscope.neurons.checkup import Vitals
from actscope.neurons.distribution import SimilarityCurve, SimilarityDistribution, similarity_distribution
from actscope.neurons.expectation import SimilarityMeans, mean_similarity
from actscope.neurons.measuring import vitals
from actscope.neurons.predictions import prediction_distance
from actscope.neurons.pruned import Pruned
from actscope.neurons.pruning import prune
from actscope.neurons.relations import PairRelations, RankCorrelation, pair_relations
from actscope.neurons.similarity import pattern_similarity
from actscope.neurons.spread import PredictionSpread, prediction_spread
from actscope.neurons.streaming import MeanSimilarity
from actscope.neurons.transitions import transition_density
from actscope.neurons.verdicts import Criterion, Thresholds
from actscope.neurons.vitalstally import VitalsTally
from actscope.neurons.watching import Watch, watch
from actscope.neurons.watchlog import WatchLog

__all__ = [
    "pattern_similarity",
    "mean_similarity",
    "SimilarityMeans",
    "MeanSimilarity",
    "similarity_distribution",
    "SimilarityDistribution",
    "SimilarityCurve",
    "transition_density",
    "prediction_distance",
    "pair_relations",
    "PairRelations",
    "RankCorrelation",
    "gradient_affinity",
    "GradientAffinity",
    "region_borders",
    "RegionBorders",
    "prediction_spread",
    "PredictionSpread",
    "vitals",
    "Vitals",
    "VitalsTally",
    "Thresholds",
    "Criterion",
    "prune",
    "Pruned",
    "watch",
    "Watch",
    "WatchLog",
]
