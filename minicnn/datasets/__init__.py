"""Data to learn from: real pictures, and a drawn set for machines without them."""

from minicnn.datasets import cifar10, cifar100, fashion_mnist, mnist, synthetic_fashion

__all__ = ["cifar10", "cifar100", "fashion_mnist", "mnist", "synthetic_fashion"]
