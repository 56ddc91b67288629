"""Scripts in the manner of Keras's users: they run on minicnn when only their imports change.

What each prints and leaves behind is compared with what it printed on Keras; `keras_scripts.py`
says how, and how to run them by hand.
"""

import difflib
import re

import pytest
from counts import and_slow
from keras_scripts import FOLDER, SCRIPTS, differences, other_imports, run, stored

ON_KERAS = stored()


QUICK = ["transfer"]


@pytest.mark.parametrize("name", and_slow(QUICK, sorted(set(SCRIPTS) - set(QUICK)), "in_ci"))
def test_a_script_prints_what_it_prints_on_keras(name, tmp_path):
    outcome = run(name, "minicnn", tmp_path)
    assert outcome.status == 0, outcome.output
    assert differences(outcome.printed, ON_KERAS[name]["printed"]) == []
    assert outcome.files == ON_KERAS[name]["files"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_import_lines_are_changed(name):
    text = (FOLDER / f"{name}.py").read_text()
    changed = [line for line in difflib.ndiff(text.splitlines(), other_imports(text).splitlines())
               if line[0] in "+-"]  # fmt: skip
    assert changed
    assert all(re.match(r"[+-] (from|import) ", line) for line in changed)
    assert not re.search(r"^\s*(from|import) (keras|tensorflow)", other_imports(text), re.MULTILINE)


def test_every_script_was_run_on_keras():
    assert set(ON_KERAS) == set(SCRIPTS)
