"""Where parameters come from: shipped weights, files, the Hugging Face Hub, foreign checkpoints."""

from .errors import WeightsError
from .files import read_metadata, save_metadata, save_network
from .load import load_network

__all__ = ["WeightsError", "load_network", "read_metadata", "save_metadata", "save_network"]
