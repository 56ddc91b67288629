"""Fixtures of the tests of refusals."""

import pytest

from minicnn import get_num_threads, set_num_threads


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def _threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)
