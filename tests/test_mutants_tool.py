"""The changes that `tools.mutants` tries, which of them it draws, and what it runs on them."""

from collections import Counter
from pathlib import Path

import pytest

from tools import mutants as tool
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


@pytest.fixture
def every():
    """The mutants of a long file and of a short one."""
    long = SOURCE + b"\n".join(SOURCE.replace(b"f(", b"f%d(" % k, 1) for k in range(9))
    return [*mutants_of("long.py", long), *mutants_of("short.py", SOURCE)]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_sample_takes_the_same_share_of_each_file(every, share):
    sample = tool.drawn(every, share, seed=3)
    of, drawn = Counter(m.file for m in every), Counter(m.file for m in sample)
    assert drawn == {file: round(share * count) for file, count in of.items()}
    assert sample == [m for m in every if m in sample]  # in order, none twice


def test_a_sample_is_chosen_by_its_seed_alone(every):
    assert tool.drawn(every, 0.3, 3) == tool.drawn(every, 0.3, 3) != tool.drawn(every, 0.3, 4)
    of_one = [m for m in every if m.file == "short.py"]
    assert set(tool.drawn(of_one, 0.3, 3)) <= set(tool.drawn(every, 0.3, 3))


def test_a_sample_takes_at_least_one_of_each_file(every):
    assert {m.file for m in tool.drawn(every, 0.001, 0)} == {"long.py", "short.py"}


def test_the_page_says_how_many_were_drawn_and_by_which_command(every, monkeypatch):
    monkeypatch.setattr(tool, "commit", lambda: "commit 123")
    sample = tool.drawn(every, 0.5, 7)
    command = "python -m tools.mutants --sample 0.5 --seed 7"
    results = dict.fromkeys(sample[1:], "test_x")
    text, wrong = tool.report(every, sample, results, set(), command)
    assert f"Written by `{command}` at commit 123; do not edit." in text
    assert f"Drawn: {len(sample)} of {len(every)} mutants" in text
    assert "**1 mutants have not been tried yet.**" in text
    assert "1 mutants have not been tried yet" in wrong
    of, drawn = Counter(m.file for m in every), Counter(m.file for m in sample)
    assert f"| short.py | {of['short.py']} | {drawn['short.py']} |" in text


FILES = sorted(
    str(path.relative_to(tool.ROOT)) for each in tool.FILES for path in tool.ROOT.glob(each)
)


@pytest.mark.parametrize("pattern", tool.FILES)
def test_every_pattern_finds_files(pattern):
    assert [*tool.ROOT.glob(pattern)]


@pytest.mark.parametrize("file", FILES)
def test_every_stage_names_tests_that_are_there(file):
    for names, _ in tool.stages(file):
        for name in names.split():
            assert (tool.ROOT / tool.path_of(name, file)).exists(), name


def test_a_layers_own_cases_run_first():
    assert tool.stages("minicnn/layers/dense.py")[0] == ("doctest contract", "Dense")
    assert Path(tool.path_of("refusals/layers", "")) == Path("tests/refusals/test_layers.py")
    assert tool.path_of("refusals", "") == "tests/refusals"
