"""Where parameters come from: shipped weights, files, the Hugging Face Hub, foreign checkpoints."""

from .errors import WeightsError
from .load import load_network
from .network_files import read_metadata, save_network

__all__ = ["WeightsError", "load_network", "read_metadata", "save_network"]
