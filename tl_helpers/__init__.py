"""Helpers of the transfer-learning course; importing this loads no TensorFlow."""

__version__ = "0.1.0"
