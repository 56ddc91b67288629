"""Every wrong call answered: a named error, the argument and what came in it, nothing changed.

Each file holds one subject. What stands elsewhere, beside the rules that it belongs to:

    every public argument, with generated wrong values    test_wrong_calls.py
    inputs that no layer can take, empty axes, dy         test_contract.py
    models that share layers                              test_shared_layers.py
    damaged and missing data files                        test_fashion_mnist.py
    Ctrl-C                                                test_training.py
"""

import pytest

pytest.register_assert_rewrite("refusals.helpers")
