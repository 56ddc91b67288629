"""The changes that `tools.mutants` tries, and what it takes for the same change."""

from tools.changes import mutants_of, names_of

SOURCE = b'''"""A docstring, 1."""
import os

def f(x: int = 0, y: "int" = 2.5):
    """Another, 2."""
    if x < len(y):
        raise ValueError("no", 3)
    total = max(x, -y[i])
    return total + g(x, axis=1)
'''


def test_the_changes_of_a_few_lines():
    found = mutants_of("f.py", SOURCE)
    assert {mutant.new for mutant in found} == {
        'def f(x: int = 1, y: "int" = 2.5):',
        'def f(x: int = 0, y: "int" = 5.0):',
        "if x <= len(y):",
        "if True:",
        "if False:",
        "pass",
        "total = min(x, -y[i])",
        "total = max(x, y[i])",
        "total = max(x, -y[i - 1])",
        "return total - g(x, axis=1)",
        "return total + g(x)",
        "return total + g(x, axis=0)",
    }
    for mutant in found:
        changed = mutant.apply(SOURCE)
        compile(changed, "f.py", "exec")
        assert changed != SOURCE


def test_a_result_is_kept_until_the_function_changes():
    def names(source):
        return set(names_of(mutants_of("f.py", source)).values())

    assert len(names(SOURCE)) == 12
    assert names(b"\n# above\n" + SOURCE.replace(b"Another", b"An other")) == names(SOURCE)
    assert names(SOURCE).isdisjoint(names(SOURCE.replace(b"axis=1", b"axis=2")))
