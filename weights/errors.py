"""What can be wrong with weights."""


class WeightsError(ValueError):
    """Weights that are unknown, damaged, foreign or not to be had; the message says what to do."""
