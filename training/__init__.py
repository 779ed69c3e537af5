"""Data, composite synthesis, objective, loop, metrics and evaluation."""
