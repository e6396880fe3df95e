"""The experiments of He, Lei, Ji and Tao, *Neural networks behave as hash encoders* (2021)."""

from actscope.studies.he2021.convnets import CONVNETS
from actscope.studies.he2021.diameters import DIAMETERS
from actscope.studies.he2021.layers import LAYERS
from actscope.studies.he2021.maps import MAPS
from actscope.studies.he2021.noise import NOISE
from actscope.studies.he2021.random_pixels import RANDOM_PIXELS
from actscope.studies.he2021.regularization import REGULARIZATION
from actscope.studies.he2021.samples import SAMPLES
from actscope.studies.he2021.time import TIME
from actscope.studies.he2021.width import WIDTH

__all__ = ["STUDIES"]

STUDIES = (MAPS, CONVNETS, WIDTH, DIAMETERS, TIME, SAMPLES, LAYERS, REGULARIZATION, NOISE, RANDOM_PIXELS)
