"""The activation hash phase chart: where networks of one kind are under-, critically and sufficiently expressive."""

from actscope.studies.phase.chart import Chart
from actscope.studies.phase.locating import Location, OutsideChartError, locate
from actscope.studies.phase.predictions import BorderTest, Prediction
from actscope.studies.phase.regimes import REGIMES, Regime, Thresholds

__all__ = [
    "BorderTest",
    "Chart",
    "Location",
    "OutsideChartError",
    "Prediction",
    "REGIMES",
    "Regime",
    "Thresholds",
    "locate",
]
