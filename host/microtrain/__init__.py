"""microtrain: train neural networks on a microcontroller, in its own integers."""

__version__ = "0.1.0"
