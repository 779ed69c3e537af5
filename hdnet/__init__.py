"""The network and the harmonization itself: tensors in, tensors out."""

from .config import HDNetConfig
from .harmonizer import Harmonizer
from .network import HDNet

__all__ = ["HDNet", "HDNetConfig", "Harmonizer"]
