"""docs/correctness.md: every figure on it comes from a command that this one runs.

    python -m tools.correctness
    python -m tools.correctness --mutants    only what it quotes from docs/mutants.md

A test that compares numbers notes the worst error with `within` of `tests/strategies.py`; pytest
counts the tests, hypothesis the examples that it drew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from tools.mutants import ROOT, commit

PAGE = ROOT / "docs" / "correctness.md"
MUTANTS = "Tests of the tests:"


@dataclass(frozen=True)
class Row:
    """A line of the table: a command, and which of its figures to show."""

    what: str
    against: str
    command: str
    errors: str = ""  # pattern of names in the tally; without it only cases are counted
    passed: str = "all pass"  # what stands for the error then


@dataclass
class Outcome:
    """What a command told."""

    ok: bool = True
    tests: int = 0
    examples: list[int] = field(default_factory=list)  # of each test that draws
    skipped: str = ""
    tally: dict[str, dict[str, float]] = field(default_factory=dict)
    printed: str = ""


PROPERTIES = "pytest --slow tests/test_properties.py -k"
FORWARD = f"{PROPERTIES} 'definition and not optimizer'"
SINGLE = f"{PROPERTIES} 'single_precision or gradient_of_a_loss'"
SLOPES = f"{PROPERTIES} central_difference"
TORCH = "pytest --slow tests/test_torch.py"
KERAS = "pytest --slow tests/test_keras_parity.py"
CHECKER = "pytest --slow tests/test_gradcheck.py -k"
LINES = "pytest --slow tests/test_kernel_lines.py"
PLAIN, DIFFERENCES, DOUBLE = "plain loops", "central differences", "itself in float64"

SECTIONS: dict[str, tuple[Row, ...]] = {
    "Gradients": (
        Row(
            "every layer and loss, float64, steps of 1e-5 (G1, G3)",
            DIFFERENCES,
            SLOPES,
            "G1 ",
        ),
        Row(
            "linear layers, steps of 1, where no truncation error exists (G2)",
            DIFFERENCES,
            f"{PROPERTIES} linear_layers_are_exact",
            "G2 ",
        ),
        Row(
            "every parameter of random networks of 2 to 6 layers (G4)",
            DIFFERENCES,
            f"{PROPERTIES} every_parameter",
            "G4",
        ),
        Row(
            "ties and ReLU at 0: the first cell in row-major order wins, the slope at 0 is 0 (G5)",
            "the rule",
            f"{PROPERTIES} 'equal_cells or slope_0'",
            passed="exact",
        ),
        Row("layers, float32", DOUBLE, SINGLE, "float32 backward [A-Z]"),
        Row("losses, float32", DOUBLE, SINGLE, "float32 backward [a-z]"),
        Row(
            "every layer, loss and some models, as a user can run it",
            DIFFERENCES,
            "python -m minicnn.gradcheck",
        ),
    ),
    "Values": (
        Row("layers and losses, float64 (F1)", PLAIN, FORWARD, "F1 .*float64"),
        Row("layers and losses, float32 (F1)", PLAIN, FORWARD, "F1 .*float32"),
        Row(
            "up to 12 steps of the optimizers, any settings, float64",
            "their formulas in plain numbers",
            f"{PROPERTIES} optimizer",
            ".*float64",
        ),
        Row(
            "the same, float32",
            "their formulas in plain numbers",
            f"{PROPERTIES} optimizer",
            ".*float32",
        ),
        Row(
            "softmax and cross-entropy on logits of 10^4, float32 (F5)",
            DOUBLE,
            f"{PROPERTIES} 'large_numbers or ten_thousand'",
            "F5",
        ),
        Row(
            "batch normalization around 100, float32 (F6)",
            DOUBLE,
            f"{PROPERTIES} far_from_zero",
            "F6",
        ),
        Row(
            "small arrays, worked out on paper",
            "numbers in the test",
            "pytest --slow tests/test_by_hand.py",
        ),
    ),
    "Other libraries": (
        Row("PyTorch, float64, forward (F2)", "PyTorch, live", TORCH, "F2 .*float64$"),
        Row("PyTorch, float64, backward (F2)", "PyTorch, live", TORCH, "F2 .*float64 backward"),
        Row("PyTorch, float32, forward (F2)", "PyTorch, live", TORCH, "F2 .*float32$"),
        Row("PyTorch, float32, backward (F2)", "PyTorch, live", TORCH, "F2 .*float32 backward"),
        Row(
            "PyTorch, optimizers and running statistics, float64 (F2)",
            "PyTorch, live",
            TORCH,
            "F2 ((?!float).)*$",
        ),
        Row("Keras, layers, float64", "stored arrays", KERAS, "Keras, (layers|normalization)"),
        Row("Keras, losses, float64", "stored arrays", KERAS, "Keras, losses float64"),
        Row("Keras, optimizers, 25 steps, float64", "stored arrays", KERAS, "Keras, opt.*64"),
        Row(
            "Keras, Nadam (TensorFlow rounds), float64", "stored arrays", KERAS, "Keras, Nadam.*64"
        ),
        Row("Keras, loss after each of 40 steps, float64", "stored arrays", KERAS, "Keras, tr.*64"),
        Row("the same, float32", "stored arrays", KERAS, "Keras, tr.*32"),
    ),
    "Behaviour": (
        Row(
            "what every layer has to keep: shapes, types, views of one vector, repeatability",
            "the contract",
            "pytest --slow tests/test_contract.py",
        ),
        Row(
            "read-only, strided, Fortran-ordered, big-endian and list inputs, never written to; "
            "gradients replaced, not summed (F7)",
            "the plain array",
            "pytest --slow tests/test_properties.py tests/test_contract.py -k "
            "'any_make or given_is_written or second_backward'",
            passed="bit-equal",
        ),
        Row(
            "64 images learned by heart within 50 epochs (T1)",
            "accuracy 1",
            "pytest --slow tests/test_training.py -k by_heart",
        ),
        Row(
            "evaluate is the mean over samples, predict keeps their order, at any batch size (T2)",
            "one by one",
            f"{PROPERTIES} evaluate_is",
            "T2",
        ),
        Row(
            "one seed gives the same weights and history in fresh processes (D1)",
            "bits",
            "pytest --slow tests/test_training.py -k fresh_processes",
            passed="bit-equal",
        ),
        Row(
            "1 thread and 2 threads give the same (D2)",
            "bits",
            "pytest --slow tests/test_properties.py tests/test_training.py tests/test_engine.py -k "
            "'number_of_threads and not test_number_of_threads or bits_do_not'",
            passed="bit-equal",
        ),
        Row(
            "NumPy's global random state is neither read nor changed (D4)",
            "bits",
            "pytest --slow tests/test_properties.py tests/test_training.py -k global",
            passed="bit-equal",
        ),
        Row(
            "wrong calls: class and message of the error, the model unchanged",
            "what the error has to say",
            "pytest --slow tests/refusals",
        ),
        Row(
            "damaged, cut, swapped and missing data files",
            "what the error has to say",
            "pytest --slow tests/test_fashion_mnist.py",
        ),
    ),
    "The engine": (
        Row(
            "outputs of random networks by fused stages, float32",
            "the layers",
            "pytest --slow tests/test_engine.py -k by_both_ways",
            "engine, outputs",
        ),
        Row(
            "their gradients; the median, since a near tie in a pooling window may go either way",
            "the layers",
            "pytest --slow tests/test_engine.py -k by_both_ways",
            "engine, median",
        ),
        Row(
            "shards of a batch on lanes, float32",
            "the whole batch at once",
            f"{PROPERTIES} in_shards",
            "shards, .*32",
        ),
        Row(
            "convolution by Winograd's algorithm, float32",
            "the layer in float64",
            "pytest --slow tests/test_engine.py -k winograds_error",
            "Winograd",
        ),
        Row(
            "each kernel and its twin in plain Python",
            "the twin",
            "pytest --slow tests/test_kernels.py -k 'pool or im or keep_mask or hash'",
        ),
        Row(
            "lines of the kernels that the tests reach",
            "coverage with the compiler off",
            f"NUMBA_DISABLE_JIT=1 {LINES} --cov=minicnn",
        ),
        Row(
            "no kernel reads or writes outside of its arrays",
            "numba's bounds check",
            "NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(mktemp -d) "
            "pytest --slow tests/test_kernel_lines.py tests/test_layers.py",
        ),
    ),
    "The checks themselves": (
        Row(
            "planted mistakes: found, and named",
            "the mistake that was planted",
            f"{CHECKER} 'mistake or accumulated'",
            passed="all found",
        ),
        Row(
            "gradients off by a thousandth that pass the gradient checker",
            "none",
            f"{CHECKER} thousandth",
            "off by a thousandth",
        ),
        Row(
            "correct layers under the gradient checker, 200 seeds each: no false alarm",
            "a smaller tolerance than the checker's",
            f"{CHECKER} test_correct",
            "correct layers",
        ),
        Row(
            "correct losses and models: no false alarm",
            "the checker's tolerances",
            f"{CHECKER} test_correct",
            "correct (losses|models)",
        ),
    ),
}

HEAD = """\
# How we know that it is correct

Written by `make correctness` at {commit}, {oracle}; do not edit.

For a reader who doubts. Each line of the tables says what is checked, against what, in how many
cases, how large the worst error was and how large it may be; its command, run in the root of the
project, does it again. All random numbers have seeds, so the figures come out the same, but for
rounding on another processor.

A case is one example, drawn or written; where an error stands beside it, one comparison of arrays.
An error is the largest difference, as a part of the largest true number (or of 1, where all of them
are small). Letters and numbers in brackets name the tolerances of the project.{skipped}
"""

LIMITS = """
## What this does not show

- Central differences see errors above their own rounding: a gradient that is wrong by less than
  about 1e-7 of its largest number would pass, were it not for the linear layers and PyTorch.
- Inputs on a kink are left out of the gradient checks and tested apart, by rule.
- PyTorch and Keras are compared on what both have; where they disagree, Keras's way is taken.
- Bit-equality is shown for one machine and one build. Another processor may round otherwise.
- float32 sums in another order in the engine than in the layers: there the tolerances are those of
  float32, and the argmax of a near tie may differ.
- Mutants are small changes. A test suite that notices them may still miss a thought that was wrong
  from the start, which is what the other libraries and the arrays worked out by hand are for.
"""


# -- running --------------------------------------------------------------------------------------


def run(command: str) -> Outcome:
    """Run a command as it stands on the page, and read what it counted."""
    with tempfile.TemporaryDirectory() as folder:
        junit, worst = Path(folder) / "tests.xml", Path(folder) / "worst.json"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        options = f"-q -p no:cacheprovider --hypothesis-show-statistics --junitxml={junit}"
        env = {**os.environ, "PATH": path, "MINICNN_WORST": str(worst), "PYTEST_ADDOPTS": options}
        line = re.sub(r"\bpytest ", "python -m pytest ", command, count=1)
        done = subprocess.run(line, shell=True, cwd=ROOT, env=env, capture_output=True, text=True)
        found = Outcome(done.returncode in (0, 5), printed=done.stdout + done.stderr)
        if junit.exists():
            suite = ElementTree.parse(junit).getroot()[0]
            count = {key: int(suite.get(key, 0)) for key in ("tests", "errors", "skipped")}
            found.tests = count["tests"] - count["skipped"]
            found.examples = [int(n) for n in re.findall(r"- (\d+) passing", found.printed)]
            reason = re.search(r"SKIPPED \[\d+\] \S+ (.*)", found.printed)
            found.skipped = reason[1] if reason and not found.tests else ""
        if worst.exists():
            found.tally = json.loads(worst.read_text())
        if not found.ok or not (found.tests or found.skipped or "gradcheck" in command):
            print(found.printed[-3000:])
            found.ok = False
        return found


def figures(row: Row, outcome: Outcome) -> tuple[str, str, str]:
    """Cases, worst error and tolerance of a row."""
    if outcome.skipped:
        return "skipped", outcome.skipped, ""
    if row.command.startswith("python -m minicnn.gradcheck"):
        return of_gradcheck(outcome.printed)
    if coverage := re.search(r"^TOTAL +(\d+) +\d+ +(\S+%)", outcome.printed, re.M):
        return f"{coverage[1]} lines", coverage[2], "100%"
    if not row.errors:
        if row.command == "pytest --slow tests/test_contract.py":
            return of_contract(outcome.tests)
        # each test that draws stands for its examples, any other for itself
        cases = outcome.tests - len(outcome.examples) + sum(outcome.examples)
        return f"{cases:,}", row.passed, ""
    chosen = {name: each for name, each in outcome.tally.items() if re.match(row.errors, name)}
    if not chosen:
        raise SystemExit(f"{row.command}: nothing in its tally matches {row.errors!r}")
    worst = max(chosen.values(), key=lambda each: each["worst"] / (each["limit"] or 1))
    cases = f"{sum(int(each['cases']) for each in chosen.values()):,}"
    if len(set(drawn := outcome.examples)) == 1:
        cases += f" ({len(drawn)} x {drawn[0]} examples)"
    if not worst["limit"]:
        return cases, f"{worst['worst']:g}", "0"
    largest = f"{worst['worst']:.1e}" if worst["worst"] else "0"
    return cases, largest, f"{worst['limit']:.0e}"


def of_gradcheck(printed: str) -> tuple[str, str, str]:
    """The worst error beside its tolerance, from the table of the command."""
    found = re.findall(r"(\d\S+) of (\d\S+)", printed)
    worst, tolerance = max(found, key=lambda each: float(each[0]) / float(each[1]))
    total = re.search(r"^(\d+) cases, ([\d,]+) derivatives", printed, re.M)
    if total is None:
        raise SystemExit("no last line in what gradcheck printed")
    return f"{total[1]}, {total[2]} derivatives", worst, tolerance


def of_contract(tests: int) -> tuple[str, str, str]:
    """Layers, and the ways in which they are set up, beside the number of checks."""
    sys.path.insert(0, str(ROOT / "tests"))
    from cases.layers import LAYERS

    examples = sum(len(case.examples) for case in LAYERS.values())
    return f"{tests:,} ({examples} set-ups of {len(LAYERS)} layers)", "all pass", ""


def mutation() -> str:
    """What docs/mutants.md says, and whether it is still about this source; one line."""
    page = ROOT / "docs" / "mutants.md"
    if not page.exists():
        return f"{MUTANTS} skipped, `make mutants` has not been run."
    text = page.read_text()
    at = re.search(r"at commit (\w+)", text)
    total = re.search(r"^\| \*\*all\*\* \| (.*) \|$", text, re.M)
    if at is None or total is None:
        raise SystemExit("docs/mutants.md is not as make mutants writes it")
    mutants, *drawn, tried, killed, _, survivors, share = total[1].split(" | ")
    files = ["minicnn/layers", "minicnn/losses", "minicnn/optimizers", "minicnn/kernels"]
    same = subprocess.run(["git", "diff", "--quiet", at[1], "--", *files], cwd=ROOT).returncode == 0
    since = "" if same else " These files have changed since: run it again."
    wanted = drawn[0] if drawn else mutants
    if tried != wanted:
        since += f" {int(wanted) - int(tried)} more have not been tried yet."
    of_all = f", drawn from {mutants}" if drawn else ""
    return (
        f"{MUTANTS} of {tried} small changes to the layers, losses, optimizers and "
        f"kernels{of_all}, one at a time, the tests notice {killed} ({share}; at least 95%). The "
        f"other {survivors} stand with their reasons in [mutants.md](mutants.md), written by "
        f"`make mutants` at commit {at[1]}.{since}"
    )


def main() -> int:
    if sys.argv[1:] == ["--mutants"]:
        PAGE.write_text(
            re.sub(rf"^{MUTANTS}.*", lambda _: mutation(), PAGE.read_text(), flags=re.M)
        )
        return 0
    os.nice(19)
    outcomes: dict[str, Outcome] = {}
    commands = [row.command for rows in SECTIONS.values() for row in rows]
    for command in dict.fromkeys(commands):
        begun = time.monotonic()
        outcomes[command] = run(command)
        verdict = "ok" if outcomes[command].ok else "FAILED"
        print(f"{time.monotonic() - begun:5.0f} s  {verdict}  {command}", flush=True)
    lines = []
    for title, rows in SECTIONS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| what | against | cases | worst error | tolerance | command |",
        ]
        lines.append("|---|---|---:|---:|---:|---|")
        for row in rows:
            cells = figures(row, outcomes[row.command])
            if not outcomes[row.command].ok:
                cells = ("FAILED", *cells[1:])
            cells = (row.what, row.against, *cells, f"`{row.command}`")
            lines.append(f"| {' | '.join(cells)} |")
    skipped = [row for rows in SECTIONS.values() for row in rows if outcomes[row.command].skipped]
    try:
        from torch import __version__ as torch
    except ImportError:
        torch = ""
    head = HEAD.format(
        commit=commit(),
        oracle=f"PyTorch {torch}" if torch else "without PyTorch",
        skipped=f"\n\n**{len(skipped)} rows were skipped; they say why.**" if skipped else "",
    )
    PAGE.write_text(head + "\n".join([*lines, "", mutation()]) + "\n" + LIMITS)
    failed = [command for command, outcome in outcomes.items() if not outcome.ok]
    print(*(f"FAILED: {command}" for command in failed), "see docs/correctness.md", sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
