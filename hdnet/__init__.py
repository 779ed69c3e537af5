"""The network and the harmonization itself: tensors in, tensors out."""

from .config import HDNetConfig
from .network import HDNet

__all__ = ["HDNet", "HDNetConfig"]
