"""`python -m minicnn.gradcheck`: check every layer and loss of the package, print one table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from minicnn import checks
from minicnn.console import say
from minicnn.gradcheck.package import RANDOM_MODELS, cases, missing
from minicnn.gradcheck.result import CheckResult, table, verdict

COLUMNS = ("checked", "configuration", "parameters", "worst error", "derivatives", "kinks", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases; 1 if one fails or a layer or loss has none, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m minicnn.gradcheck",
        description="Check the gradients of every layer and loss, and of whole models.",
    )
    parser.add_argument("--seed", type=_count, default=0, help="of all random numbers")
    parser.add_argument(
        "--random-models", type=_count, default=RANDOM_MODELS, help="how many (%(default)s)"
    )
    options = parser.parse_args(arguments)

    start = time.perf_counter()
    checked = [(case, case.run(options.seed)) for case in cases(options.random_models)]
    rows = [(case.kind, case.label, *_cells(result)) for case, result in checked]
    say("\n".join(table(COLUMNS, rows)))

    failed = [result for _, result in checked if not result.ok]
    for result in failed:
        say(f"\n{result}")
    uncovered = missing()
    for name in uncovered:
        say(f"\n{name}: no case checks it; see VALUES in minicnn/gradcheck/package.py")
    derivatives = sum(row.checked for _, result in checked for row in result.rows)
    say(
        f"\n{len(checked)} cases, {derivatives:,} derivatives, {len(failed)} failed, "
        f"{len(uncovered)} without a case, in {time.perf_counter() - start:.1f} s"
    )
    return 1 if failed or uncovered else 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, received {checks.shown(text)}")
    return int(text)


def _cells(result: CheckResult) -> tuple[str, ...]:
    """The result in one line: its worst parameter, and sums."""
    count, listed = len(result.rows), ", ".join(row.name for row in result.rows)
    names = listed if count <= 4 else f"{count}, with x"
    worst = max(result.rows, key=lambda row: row.error / row.tolerance)
    error = f"{worst.error:.1e} of {worst.tolerance:.0e}"
    sums = (sum(getattr(row, what) for row in result.rows) for what in ("checked", "kinks"))
    return names, error, *map(str, sums), verdict(result.ok)


if __name__ == "__main__":
    sys.exit(main())
