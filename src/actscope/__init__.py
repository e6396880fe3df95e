"""A microscope for activation patterns of PyTorch models.

`sites` tells what can be read in a model, `encode` gives the neural code of every example as packed bits, `hashing` says how good a hash
those codes are, and `examine` puts all of it on one page.
"""

from actscope import hashing
from actscope.codes import Codes, Site, encode, sites
from actscope.report import Report, examine

__all__ = ["Codes", "Report", "Site", "encode", "examine", "hashing", "sites"]
