"""minicnn beside its peers: runs the rows, stores the results, writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import curves, frameworks, machine, report
from benchmarks.agreement import DisagreementError
from benchmarks.data import Data
from benchmarks.rows import BY_KEY, GROUPS, MAIN, ROWS, Bench, Options
from benchmarks.worker import ROOT, environment


def main(arguments: list[str] | None = None) -> int:
    args = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # cleans up
    if hasattr(os, "sched_setaffinity"):  # what is started from here on keeps to these cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    options = Options(
        rounds=args.rounds or (2 if args.quick else 5),
        budget=0.2 if args.quick else 2.0,
        quick=args.quick,
        threads=args.threads,
        peers=tuple(name for name in args.peers if name != "torch_compile" or not args.quick),
        source=args.data,
    )
    command = ["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)]
    run = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),
        "commit": machine.commit(),
        "command": " ".join("FOLDER" if args.data and a == args.data else a for a in command),
        "machine": machine.describe(args.threads),
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="minicnn-bench-") as folder:
        scratch = Path(folder)
        images = 6000 if args.quick else 60_000
        say(f"data: {prepare(scratch / 'data', args.data, images)}")
        name = Data(scratch / "data").name
        bench = Bench(options, scratch / "data", scratch, "synthetic" in name, say)
        try:
            results = {}
            for row in ROWS:
                if row.key in args.rows:
                    say(row.title)
                    results[row.key] = row.measure(bench)
                    say(f"  {report.figure(row, results[row.key])}, {report.target(row)}")
            run |= {"data": name, "rows": results, "agreement": bench.agreed}
            if args.curves:
                say("curves")
                run["curves"] = curves.measure(bench)
        except DisagreementError as error:
            print(f"Stopped. {error}", file=sys.stderr)
            return 1
        finally:
            bench.dismiss()
    run["limits"] = machine.limits(args.threads, 32 if args.quick else 256)
    run["versions"] = bench.versions
    run["minutes"] = (time.perf_counter() - started) / 60
    path = report.store(run, args.output)
    if run.get("curves"):
        curves.draw(run["curves"], args.output / "benchmarks")
    print(report.table(run))
    print(f"\n{report.write(args.output)}, {path}; it took {run['minutes']:.1f} minutes")
    return 0


def prepare(folder: Path, source: str | None, images: int) -> str:
    """The data's name, once a process of its own has written it into `folder`."""
    command = [sys.executable, "-m", "benchmarks.data", str(folder), "--images", str(images)]
    finished = subprocess.run(
        command + (["--source", source] if source else []),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return finished.stdout.strip().splitlines()[-1]


def say(text: str, started: float = time.perf_counter()) -> None:
    print(f"{time.perf_counter() - started:6.0f} s  {text}", file=sys.stderr, flush=True)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="about a minute: few images and rounds, no trials of settings; shows that all runs, "
        "not how fast. Written to outputs/",
    )
    parser.add_argument(
        "--rows", nargs="+", choices=[*GROUPS, *BY_KEY], default=["main"], metavar="ROW",
        help=f"only these: main, which are {', '.join(MAIN)}; workloads, which are other networks, "
        "'train: NAME', 'train 32: NAME' and 'predict: NAME'",
    )  # fmt: skip
    parser.add_argument(
        "--peers", nargs="*", choices=frameworks.PEERS, default=list(frameworks.PEERS),
        metavar="PEER", help=f"only these, or none: {', '.join(frameworks.PEERS)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="of each row; 5 if not given")
    parser.add_argument("--no-curves", dest="curves", action="store_false")
    parser.add_argument(
        "--threads",
        type=int,
        default=min(2, os.cpu_count() or 1),
        help="cores and threads that each framework gets; 2, as the targets were set for",
    )
    parser.add_argument(
        "--data",
        help="folder with Fashion-MNIST, or 'synthetic'; found as examples/fashion_mnist.py does",
    )
    parser.add_argument(
        "--output", type=Path, help="folder of the page; docs, with --quick outputs/benchmarks"
    )
    args = parser.parse_args(arguments)
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds: expected at least 1")
    args.rows = [key for given in args.rows for key in GROUPS.get(given, [given])]
    if args.output is None:
        args.output = ROOT / ("outputs/benchmarks" if args.quick else "docs")
    return args


if __name__ == "__main__":
    sys.exit(main())
