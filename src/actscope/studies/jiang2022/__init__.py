"""The experiments of Jiang et al., *Delve into neural activations: towards understanding dying neurons* (2022)."""

from actscope.studies.jiang2022.pairs import PAIRS
from actscope.studies.jiang2022.regions import REGIONS
from actscope.studies.jiang2022.similarity import SIMILARITY
from actscope.studies.jiang2022.statistics import STATISTICS
from actscope.studies.jiang2022.toy import TOY
from actscope.studies.jiang2022.vgg16 import VGG16

__all__ = ["STUDIES"]

STUDIES = (STATISTICS, TOY, REGIONS, PAIRS, SIMILARITY, VGG16)
