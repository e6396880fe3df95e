"""The convolutional networks of the papers."""

from actscope.training.architectures.catalogue import ARCHITECTURES, architecture

__all__ = ["ARCHITECTURES", "architecture"]
