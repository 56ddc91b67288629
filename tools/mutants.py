"""Tests of the tests: change the source in one small place, and see whether a test notices.

    python -m tools.mutants                       all of it, and docs/mutants.md; hours
    python -m tools.mutants --files losses/own.py some of it
    python -m tools.mutants --sample 0.1 --seed 7 a tenth of each file's, drawn by that seed
    python -m tools.mutants --list                the changes, without trying them
    python -m tools.mutants --known               the page of what has been tried so far

Each change ("mutant", see `changes.py`) is made in a copy of the tree in a temporary folder. The
tests of the file run on it in a process of their own, those first that are likely to notice, up to
the first that fails or never ends: the mutant is killed. One that passes all of them survives;
either a test is missing, or `equal.py` says why no test can tell the two programs apart.

What is known is kept in ~/.cache/minicnn/mutants.json, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.changes import Mutant, mutants_of, names_of
from tools.equal import EQUAL

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minicnn" / "mutants.json"
LEAST_KILLED = 0.95

FILES = (
    "minicnn/layers/*.py",
    "minicnn/layers/*/*.py",
    "minicnn/losses/*.py",
    "minicnn/optimizers/*.py",
    "minicnn/kernels/*.py",
)
INTERPRETED = ("minicnn/kernels/__init__.py", "minicnn/kernels/fast.py")  # the others are Python

# -- which tests for which file -------------------------------------------------------------------

LONG = "steps_of_training or learned_by_heart or fresh_process or first_use"
QUICK = f"not ({LONG})"
COMPILER = "cache or compil or importing or disk"


def stages(file: str) -> list[tuple[str, str]]:
    """The tests of a file, the few that notice most first: test files, and words for -k."""
    part, stem = file.split("/")[1].removesuffix(".py"), Path(file).stem
    if stem == "compiler":
        quick = "not (flipped or exchanged or processes or real_terminal)"
        words = "notice or cache_that_fails or threads"
        return [("compiler", quick), ("kernels", words), ("compiler kernels", COMPILER)]
    if part == "kernels":
        return [("kernel_lines", ""), ("kernels", f"not ({COMPILER})"), ("layers by_hand", "")]
    own = " or ".join(public_classes(file))
    if part in REFUSALS:
        return [
            (f"doctest {part} by_hand {TESTS.get(part, '')}", ""),
            (f"keras_parity refusals/{REFUSALS[part]}", QUICK),
            ("properties", "loss or optimizer or logits"),
            ("models training refusals", QUICK),
        ]
    return [
        *([("doctest contract", own)] if own else []),
        (f"doctest layers by_hand refusals/layers refusals/weights {tests_beside(file)}", ""),
        ("contract keras_parity", QUICK),
        ("settings contents copies refusals models training weights", QUICK),
        ("properties", QUICK),
    ]


# test files of folders and modules; those of layers in `layers` are for all of them
TESTS = {
    "losses": "loss_options keras_drawn",
    "optimizers": "optimizer_options keras_rules tuning",
    "activations": "activations",
    "augmentation": "augmentation",
    "batchnorm dropout noise randomness": "noise normalization",
    "cropping padding reshaping resizing rescaling shapes standardize": "shapes",
    "base regularization": "regularizers",
}


def tests_beside(file: str) -> str:
    """Test files that are specific to the module or its folder, if any."""
    path = Path(file)
    return " ".join(
        tests for names, tests in TESTS.items() if {path.stem, path.parent.name} & {*names.split()}
    )


REFUSALS = {"losses": "losses_and_metrics", "optimizers": "optimizers"}


def public_classes(file: str) -> list[str]:
    """Those of the file, whose names stand in the names of their cases."""
    tree = ast.parse((ROOT / file).read_bytes())
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [name for name in names if not name.startswith("_") and name != "Layer"]


def path_of(name: str, file: str) -> str:
    """The doctests of `file`, a test file, or a folder of them."""
    if name == "doctest":
        return file
    folder, _, last = name.rpartition("/")
    if (ROOT / "tests" / name).is_dir():
        return f"tests/{name}"
    return str(Path("tests", folder, f"test_{last}.py"))


# -- one try --------------------------------------------------------------------------------------

TIMEOUT = "no end"
DIED = "the process died"


class Watcher:
    """A pytest plugin that notes what fails."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(tree: Path, file: str, left_out: list[str] | None) -> list[str]:
    """The first test of `file` in `tree` that fails; all that fail where `left_out` is None."""
    import numba
    import pytest

    os.chdir(tree)
    os.environ.update(PYTHONPATH=str(tree))
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    if file in INTERPRETED:  # Python runs what is written there, and nothing has to be compiled
        os.environ["NUMBA_DISABLE_JIT"] = "1"
        numba.config.DISABLE_JIT = 1
    quiet = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis is imported already
    options = ["-W", quiet, "-q", "--tb=short", "-p", "no:cacheprovider"]
    if Path(file).stem == "compiler":  # damaged caches are slow tests
        options += ["-m", "slow or not slow"]
    if left_out is not None:
        options += ["-x", *(f"--deselect={name}" for name in left_out)]
    failed: list[str] = []
    for names, words in stages(file):
        files = [path_of(name, file) for name in names.split()]
        watcher = Watcher()
        code = pytest.main([*options, *files, "-k", words], plugins=[watcher])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            failed += watcher.failed or [f"pytest ended with {code!r}"]
            if left_out is not None:
                return failed
    # all passed: make sure that it was this file that they ran
    module = sys.modules[file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")]
    if Path(str(module.__file__)) != tree / file:
        raise RuntimeError(f"the tests ran {module.__file__}, not {tree / file}")
    if file in INTERPRETED and hasattr(sys.modules["minicnn.kernels.fast"].im2col, "py_func"):
        raise RuntimeError("the kernels were compiled")
    return failed


def attempt(
    tree: Path, file: str, left_out: list[str] | None, limit: int
) -> tuple[list[str], float]:
    """What failed (see `run_tests`), and the seconds of the processor that it took.

    In a forked process: pytest, hypothesis and numba are imported once for all the tries.
    """
    result, printed = tree.with_suffix(".json"), tree.with_suffix(".txt")
    result.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a test presses Ctrl-C
            signal.alarm(900)  # where it waits for ever
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))  # where it runs for ever
            resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
            out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(out, stream)
            result.write_text(json.dumps(run_tests(tree, file, left_out)))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    _, status, used = os.wait4(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what its tests may have left running
    signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    seconds = used.ru_utime + used.ru_stime
    if result.exists():
        return json.loads(result.read_text()), seconds
    if signalled in (signal.SIGXCPU, signal.SIGALRM):
        return [TIMEOUT], seconds
    if signalled in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        raise SystemExit("a try was ended from outside; run it again to go on")
    if "RuntimeError: the " in (text := printed.read_text()):
        raise SystemExit(text[-2000:])
    return [DIED], seconds


def write(tree: Path, file: str, source: bytes) -> None:
    """The file anew, and no bytecode of an old one, which may bear the same date and size."""
    (tree / file).write_bytes(source)
    Path(importlib.util.cache_from_source(str(tree / file))).unlink(missing_ok=True)


# -- all of them ----------------------------------------------------------------------------------


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]


def run(
    mutants: list[Mutant], tree: Path, fresh: bool, only_known: bool
) -> tuple[dict[Mutant, str], set[str]]:
    """What killed each mutant ('' where it survived), from the cache or by a try.

    And the tests that were left out, since they fail without any change.

    While the function around it is the same, a killed mutant stays killed and one that is explained
    stays equal. One that survived without a reason is tried anew after any change of the tests.
    """
    known: dict[str, list[str]] = {}
    if CACHE.exists() and not fresh:
        known = json.loads(CACHE.read_text())
    state = digest(*(tree / "minicnn").rglob("*.py"), *(tree / "tests").rglob("*.py"))
    keys = names_of(mutants)
    results = {}
    for m in mutants:
        by, at = known.get(keys[m], ("", ""))
        if keys[m] in known and (by or m.key in EQUAL or at == state):
            results[m] = by
    todo = [m for m in mutants if m not in results and not only_known]
    print(f"{len(mutants)} mutants, {len(results)} known from earlier runs", flush=True)
    limits: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    begun, number = time.monotonic(), 0
    for number, m in enumerate(todo, 1):
        source = (tree / m.file).read_bytes()
        if m.file not in limits:
            left_out[m.file], seconds = attempt(tree, m.file, None, 3600)
            limits[m.file] = int(20 + 2 * seconds)
            print(f"{m.file}: all its tests take {seconds:.0f} s", flush=True)
            print(*(f"  fails without any change: {name}" for name in left_out[m.file]), sep="\n")
        write(tree, m.file, m.apply(source))
        failed, _ = attempt(tree, m.file, left_out[m.file], limits[m.file])
        results[m] = failed[0] if failed else ""
        write(tree, m.file, source)
        known[keys[m]] = [results[m], state]
        if not results[m] and m.key not in EQUAL:
            print(f"  lives: {m}", flush=True)
        if number % 20 == 0 or number == len(todo):
            minutes = (time.monotonic() - begun) / 60
            lived = sum(not by for by in results.values())
            print(f"{number}/{len(todo)} tried, {lived} live, {minutes:.1f} min", flush=True)
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        CACHE.write_text(json.dumps(known))
    return results, {name for names in left_out.values() for name in names}


# -- the report -----------------------------------------------------------------------------------


def drawn(mutants: list[Mutant], share: float, seed: int) -> list[Mutant]:
    """A random sample that takes the same share of each file, and at least one mutant of it."""
    chosen: list[Mutant] = []
    for file in dict.fromkeys(m.file for m in mutants):
        own = [m for m in mutants if m.file == file]
        places = random.Random(f"{seed} {file}").sample(
            range(len(own)), max(1, round(share * len(own)))
        )
        chosen += [own[place] for place in sorted(places)]
    return chosen


def report(
    mutants: list[Mutant],
    chosen: list[Mutant],
    results: dict[Mutant, str],
    left_out: set[str],
    command: str,
) -> tuple[str, list[str]]:
    """docs/mutants.md, and what is wrong with the figures on it.

    `chosen` are those of all `mutants` that `command` tries.
    """
    every, asked, tried, late = (
        Counter(m.file for m in mutants),
        Counter(m.file for m in chosen),
        Counter(m.file for m in results),
        Counter(),
    )
    lived = [m for m, by in results.items() if not by]
    for m, by in results.items():
        late[m.file] += by == TIMEOUT
    left = Counter(m.file for m in lived)
    unexplained = [m for m in lived if m.key not in EQUAL]
    tried_or_gone = {m.key for m in results} | (EQUAL.keys() - {m.key for m in mutants})
    stale = [key for key in EQUAL if key in tried_or_gone and key not in {m.key for m in lived}]
    total, killed = len(results), len(results) - len(lived)
    share = killed / max(total, 1)
    waiting = len(chosen) - total
    lines = [
        "# Tests of the tests",
        "",
        f"Written by `{command}` at {commit()}; do not edit.",
        "",
        f"Drawn: {len(chosen)} of {len(mutants)} mutants, the same share of each file.",
        "",
        *([f"**{waiting} mutants have not been tried yet.**", ""] if waiting else []),
        f"{total} small changes to the source, one at a time: the tests notice {killed} of them "
        f"({share:.1%}), {late.total()} of these because the changed program never ends. Of the "
        f"{len(lived)} that they do not notice, {len(lived) - len(unexplained)} are explained "
        "below: the changed program does what the old one did. A change is one operator, "
        "number, condition, index, statement or named argument; imports, annotations and the texts "
        "of messages are left alone (`tools/changes.py`).",
        "",
        "| file | mutants | drawn | tried | killed | of these by time | survivors | killed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for file in sorted(every):
        n, alive = tried[file], left[file]
        lines.append(
            f"| {file} | {every[file]} | {asked[file]} | {n} | {n - alive} | {late[file]} "
            f"| {alive} | {(n - alive) / max(n, 1):.1%} |"
        )
    lines.append(
        f"| **all** | {len(mutants)} | {len(chosen)} | {total} | {killed} | {late.total()} "
        f"| {len(lived)} | {share:.1%} |"
    )
    groups: dict[str, list[Mutant]] = {}
    for m in lived:
        groups.setdefault(EQUAL.get(m.key, ""), []).append(m)
    lines += ["", "## Survivors, and why they are equal"]
    for reason, chosen in sorted(groups.items(), key=lambda group: not group[0]):
        lines += ["", f"### {reason or 'Not explained'}", "", "```diff"]
        for m in chosen:
            lines += [f"# {m.file}:{m.line}, {m.where}", f"- {m.old}", f"+ {m.new}"]
        lines.append("```")
    wrong = [f"not explained: {m}" for m in unexplained]
    wrong += [f"a reason for a mutant that no longer survives: {key}" for key in stale]
    wrong += [f"{waiting} mutants have not been tried yet"] * (waiting > 0)
    wrong += [f"left out, since it fails without any change: {name}" for name in sorted(left_out)]
    if share < LEAST_KILLED:
        wrong.append(f"{share:.1%} killed, less than {LEAST_KILLED:.0%}")
    if stale:
        lines += ["", "## Reasons that are stale", ""]
        lines += [f"- {file}, `{where}`: `{new}`" for file, where, _, new in stale]
    return "\n".join(lines) + "\n", wrong


def commit() -> str:
    """The commit and the versions that figures were taken with."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "minicnn", "tests", "tools")
    with_numpy = f"NumPy {version('numpy')}, numba {version('numba')}"
    return (
        f"commit {git('rev-parse', '--short', 'HEAD')}"
        f"{', with changes that are not committed' if changed else ''} "
        f"({time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {with_numpy})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--files", nargs="+", default=[""], help="only files whose path ends so")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--known", action="store_true", help="try nothing, show what is known")
    parser.add_argument("--list", action="store_true", help="show the mutants and stop")
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE", help="of each file")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which ones it draws")
    given = parser.parse_args()
    if not 0 < given.sample <= 1:
        parser.error(f"--sample: expected a share in (0, 1], not {given.sample}")
    command = "make mutants"
    if given.sample < 1:
        command = f"python -m tools.mutants --sample {given.sample} --seed {given.seed}"
    os.nice(19)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM; run it again to go on"))
    with tempfile.TemporaryDirectory(prefix="minicnn-mutants-") as folder:
        tree = Path(folder) / "tree"
        for name in ("minicnn", "tests"):
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, ignore=leave)
        shutil.copy(ROOT / "pyproject.toml", tree)
        files = sorted(str(f.relative_to(tree)) for each in FILES for f in tree.glob(each))
        files = [f for f in files if f.endswith(tuple(given.files))]
        mutants = [m for f in files for m in mutants_of(f, (tree / f).read_bytes())]
        chosen = mutants if given.sample == 1 else drawn(mutants, given.sample, given.seed)
        if given.list:
            print(*chosen, sep="\n")
            return 0
        preload(Path(folder))
        results, left_out = run(chosen, tree, given.fresh, given.known)
        text, wrong = report(mutants, chosen, results, left_out, command)
    if given.files == [""]:
        (ROOT / "docs" / "mutants.md").write_text(text)
        print(*wrong, "see docs/mutants.md", sep="\n")
        return bool(wrong)
    print(text)
    return 0


def preload(folder: Path) -> None:
    """Import, and warm up, what all tries need; but nothing of minicnn."""
    os.environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in ("hypothesis.strategies", "pytest", "threadpoolctl", "tqdm.auto", "requests"):
        importlib.import_module(name)
    import numba

    numba.njit(lambda x: x + 1)(1)


if __name__ == "__main__":
    sys.exit(main())
