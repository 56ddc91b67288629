"""Data to learn from: the real Fashion-MNIST, and a drawn set for machines without it."""

from minicnn.datasets import fashion_mnist, synthetic_fashion

__all__ = ["fashion_mnist", "synthetic_fashion"]
