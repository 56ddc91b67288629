"""Scripts as Keras's users write them, run on minicnn with other import lines, or on Keras itself.

    python tests/keras_scripts.py                    each on minicnn; is it what Keras printed?
    python tests/keras_scripts.py vgg_cifar10        one of them, with all that it prints
    python tests/keras_scripts.py --keras            each on Keras; needs TensorFlow and SciPy
    python tests/keras_scripts.py --keras --write    the same, and store what they print

They are in `tests/scripts/`, and import Keras in the forms that are common. `other_imports` is all
that is changed of them. Each script runs in a separate process and an empty folder; the data sets
that it would download are small and drawn here (`stand_in`). What those of `KERAS_2` have
to print, which do not run on Keras 3, is worked out by hand.

What a script prints by itself and the files that it leaves have to be the same on both, and the
words and numbers too; but a plain fraction such as 0.97 may be off by `TOLERANCE`, since first
weights and orders are drawn otherwise. So scripts print accuracies as 0.97 and exact numbers as
5.0e-04.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "scripts"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
KERAS_2 = {
    "keras2_style": [
        "X_train shape: (600, 32, 32, 3)",
        "layers: 12 parameters: 13714",  # 224 + 584 + 12576 + 330
        "epoch 0: lr 2.00e-02, decayed 1.67e-02",  # 20 steps an epoch
        "epoch 1: lr 2.00e-02, decayed 1.43e-02",
        "epoch 2: lr 2.00e-02, decayed 1.25e-02",
        "epoch 3: lr 2.00e-02, decayed 1.11e-02",
        "accuracy: 1.00",
        "right: 1.00",
        "by generator: 1.00",
        "predicted: (60, 10)",
        "lr: 1.0e-04",
    ]
}
FILE = Path(__file__).parent / "fixtures" / "keras_scripts.json"
TOLERANCE = 0.1
SECONDS = 600  # that a script may take, where kernels have to be compiled first


def stored() -> dict[str, dict[str, list[str]]]:
    """What each script prints, and the files that it writes."""
    by_hand = {name: {"printed": lines, "files": []} for name, lines in KERAS_2.items()}
    return (json.loads(FILE.read_text()) if FILE.exists() else {}) | by_hand


# -- the scripts ----------------------------------------------------------------------------------


def other_imports(text: str) -> str:
    """The text of a script with Keras's import lines changed to minicnn's.

    >>> print(other_imports('''import keras
    ... from tensorflow import keras
    ... from keras import layers
    ... from tensorflow.keras.layers import Dense
    ... import keras.backend as K
    ... keras.Input((28, 28, 1))'''))
    import minicnn as keras
    import minicnn as keras
    from minicnn import layers
    from minicnn.layers import Dense
    import minicnn.backend as K
    keras.Input((28, 28, 1))
    """
    whole = r"^(\s*)(?:import keras|from tensorflow import keras)$"
    text = re.sub(whole, r"\1import minicnn as keras", text, flags=re.MULTILINE)
    return re.sub(
        r"^(\s*)(from|import) (?:tensorflow\.)?keras\b", r"\1\2 minicnn", text, flags=re.MULTILINE
    )


class Outcome(NamedTuple):
    """What became of a script: its exit status, all of its output, its own lines, its files."""

    status: int
    output: str
    printed: list[str]
    files: list[str]


def run(name: str, library: str, folder: Path) -> Outcome:
    """Run a script in that empty folder on "minicnn" or "keras", in a separate process."""
    place = folder / "work"
    place.mkdir()
    lines = folder / "printed.json"
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    warned = ["-W", "error"] if library == "minicnn" else []
    done = subprocess.run(
        [sys.executable, *warned, __file__, "--in-here", library, str(lines), name],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    printed = json.loads(lines.read_text()) if lines.exists() else []
    return Outcome(done.returncode, done.stdout + done.stderr, printed, files)


def run_here(name: str, library: str, lines: Path) -> None:
    """Run a script in this process; what it prints by itself goes into the file `lines`, too."""
    source = FOLDER / f"{name}.py"
    text = source.read_text()
    if library == "minicnn":
        text = other_imports(text)
    printed: list[str] = []

    def also_kept(*values: Any, **options: Any) -> None:
        builtins.print(*values, **options)
        printed.extend(options.get("sep", " ").join(map(str, values)).split("\n"))

    stand_in(library)
    exec(compile(text, source, "exec"), {"__name__": "__main__", "print": also_kept})
    lines.write_text(json.dumps(printed))


# -- the data sets --------------------------------------------------------------------------------

TRAIN, TEST = 600, 200
SHAPES = {"mnist": (28, 28), "fashion_mnist": (28, 28), "cifar10": (32, 32, 3)}


def drawn(name: str) -> Any:
    """Pictures of that data set's shape that are easy to tell apart: a pattern for each class."""
    shape = SHAPES[name]
    rng = np.random.default_rng(len(name))
    patterns = rng.uniform(0, 200, (10, *(side // 4 for side in shape[:2]), *shape[2:]))
    patterns = patterns.repeat(4, axis=1).repeat(4, axis=2)

    def part(count: int) -> tuple[Any, Any]:
        y = rng.permutation(np.arange(count) % 10).astype("uint8")
        x = patterns[y] + rng.normal(25, 25, (count, *shape))
        return x.clip(0, 255).astype("uint8"), y[:, None] if name == "cifar10" else y

    return part(TRAIN), part(TEST)


def stand_in(library: str) -> None:
    """Have the library's `load_data` return what is drawn here."""
    packages = [library]
    if library == "keras":
        packages.append("keras._tf_keras.keras")  # what tensorflow.keras is
    for package, name in itertools.product(packages, SHAPES):
        module = importlib.import_module(f"{package}.datasets.{name}")
        module.load_data = lambda name=name: drawn(name)


# -- the comparison -------------------------------------------------------------------------------

FRACTION = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")


def differences(ours: list[str], theirs: list[str]) -> list[str]:
    """The lines that are not the same, but for fractions that differ by less than `TOLERANCE`.

    >>> differences(["accuracy: 0.97", "rate: 1.0e-03"], ["accuracy: 1.00", "rate: 1.0e-03"])
    []
    >>> differences(["accuracy: 0.97", "rate: 1.0e-03"], ["accuracy: 0.80", "rate: 1.0e-04"])
    ['accuracy: 0.97 | accuracy: 0.80', 'rate: 1.0e-03 | rate: 1.0e-04']
    >>> differences(["4 epochs"], ["5 epochs", "end"])
    ['4 epochs | 5 epochs', ' | end']
    """
    found = []
    for one, other in itertools.zip_longest(ours, theirs, fillvalue=""):
        numbers = [[float(n) for n in FRACTION.findall(line)] for line in (one, other)]
        near = all(abs(a - b) < TOLERANCE for a, b in zip(*numbers))
        if FRACTION.sub("#", one) != FRACTION.sub("#", other) or not near:
            found.append(f"{one} | {other}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(SCRIPTS))
    parser.add_argument("--keras", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--in-here", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_here:
        library, lines = options.in_here
        run_here(options.names[0], library, Path(lines))
        return 0
    library = "keras" if options.keras else "minicnn"
    expected = stored()
    failed = False
    for name in options.names or SCRIPTS:
        if options.keras and name in KERAS_2:
            print(f"{name}: not for Keras 3")
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(name, library, Path(folder))
        if outcome.status or options.names:
            print(outcome.output)
        if outcome.status:
            wrong = ["it ended with an error"]
        elif options.write:
            expected[name] = {"printed": outcome.printed, "files": outcome.files}
            wrong = []
        else:
            kept = expected.get(name, {"printed": [], "files": []})
            wrong = differences(outcome.printed, kept["printed"])
            if outcome.files != kept["files"]:
                wrong.append(f"files: {outcome.files} | {kept['files']}")
        print(f"{name}: {'; '.join(wrong) or 'the same'}", flush=True)
        failed |= bool(wrong)
    if options.write:
        on_keras = {name: expected[name] for name in sorted(expected) if name not in KERAS_2}
        FILE.write_text(json.dumps(on_keras, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
