"""Tests marked `both_ways` run twice: with the engine's fused steps, and layer by layer."""

import pytest

from minicnn import Sequential
from minicnn.engine.plan import as_layers


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("both_ways"):
        metafunc.parametrize("way", ["engine", "layers"], indirect=True)


@pytest.fixture(autouse=True)
def way(request, monkeypatch):
    """How models run in this test, whatever they are compiled with."""
    way = getattr(request, "param", "engine")
    if way == "layers":
        walk = lambda model, layers: as_layers(layers, "walked by the tests")  # noqa: E731
        monkeypatch.setattr(Sequential, "plan_of", walk)
    return way
