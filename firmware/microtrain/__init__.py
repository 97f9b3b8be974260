"""microtrain on the board: train a network where it runs."""

__version__ = "0.1.0"
