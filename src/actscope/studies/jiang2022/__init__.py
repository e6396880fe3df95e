"""The experiments of Jiang et al., *Delve into neural activations: towards understanding dying neurons* (2022)."""

from actscope.studies.jiang2022.toy import TOY

__all__ = ["STUDIES"]

STUDIES = (TOY,)
