"""How well a network harmonizes."""
