"""Composites made from photographs."""
