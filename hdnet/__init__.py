"""The network and the harmonization itself: tensors in, tensors out."""

from .harmonize.guide.light_transfer import LightTransfer
from .harmonize.harmonizer import Harmonizer
from .network.config import HDNetConfig
from .network.hdnet import HDNet

__all__ = ["HDNet", "HDNetConfig", "Harmonizer", "LightTransfer"]
