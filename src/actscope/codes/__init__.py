"""From a model to packed activation patterns: sites, codes, files."""

from actscope.codes.discovery import UnseenActivationError
from actscope.codes.encoding import encode, sites
from actscope.codes.parquet import CodesFile, CodesWriter
from actscope.codes.site import Site
from actscope.codes.table import Codes

__all__ = ["Codes", "CodesFile", "CodesWriter", "Site", "UnseenActivationError", "encode", "sites"]
