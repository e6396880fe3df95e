"""The experiments of Jiang et al., *Delve into neural activations: towards understanding dying neurons* (2022)."""

from actscope.studies.jiang2022.pairs import PAIRS
from actscope.studies.jiang2022.similarity import SIMILARITY
from actscope.studies.jiang2022.statistics import STATISTICS
from actscope.studies.jiang2022.toy import TOY

__all__ = ["STUDIES"]

STUDIES = (STATISTICS, TOY, PAIRS, SIMILARITY)
