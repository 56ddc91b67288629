"""The four races beside an earlier commit of this project, in the same rounds.

    python -m benchmarks.against 17cec41

Each commit works in its process, from its tree; while one works the other waits.
In each round both train or predict the same once, the order turns round, and the ratio is taken
within the round. Where a process's memory happens to lie moves its times by up to 4 % for as long
as it lives (seen with one commit in both places), so there are several pairs of processes; each
gives the median of its rounds. Before anything is timed, both have to have the same first losses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks import data
from benchmarks.networks import MODELS
from benchmarks.worker import ROOT, Worker

BATCH = 128
RACES = {  # images and repetitions of one measurement
    ("tutorial", "train"): (12288, 1),
    ("tutorial", "predict"): (8192, 4),
    ("deeper", "train"): (2048, 1),
    ("deeper", "predict"): (8192, 1),
}


def tree_of(commit: str, folder: Path) -> Path:
    """The project as it is at `commit`, in `folder`."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def race(pair: dict[str, Worker], model: str, work: str, rounds: int) -> list[float]:
    """Seconds of the earlier commit over those of this one, round by round."""
    images, repeats = RACES[model, work]
    settings = {"batch": 2048 if work == "predict" else BATCH}

    def once(name: str) -> float:
        if work == "train":
            question = {"images": images, "batch": BATCH, "epochs": 1}
        else:
            question = {"images": images, "repeats": repeats}
        return float(pair[name].ask(work, setting=settings, **question))

    for name in pair:
        once(name)
    ratios = []
    for turn in range(rounds):
        names = list(pair)[:: -1 if turn % 2 else 1]
        seconds = {name: once(name) for name in names}
        ratios.append(seconds["then"] / seconds["now"])
    return ratios


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="what this tree is compared with")
    parser.add_argument("--pairs", type=int, default=6, help="of processes, for each race")
    parser.add_argument("--rounds", type=int, default=4, help="of each pair; even is fairer")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--data", help="folder with Fashion-MNIST, or 'synthetic'")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data.prepare(folder / "data", args.data, 60_000)
        roots = {"now": ROOT, "then": tree_of(args.commit, folder / "tree")}
        print(f"{'race':<20}{'median':>8}   pairs (over 1: faster than {args.commit})")
        for model, work in RACES:
            found = []
            for _ in range(args.pairs):
                with ExitStack() as stack:
                    pair = {
                        name: stack.enter_context(
                            Worker("minicnn", folder / "data", args.threads, root=root)
                        )
                        for name, root in roots.items()
                    }
                    agree(pair, model, str(folder / "weights.npz"))
                    found.append(statistics.median(race(pair, model, work, args.rounds)))
            shown = " ".join(f"{ratio:.3f}" for ratio in found)
            print(
                f"{work + ', ' + model:<20}{statistics.median(found):>8.3f}   {shown}", flush=True
            )
    return 0


def agree(pair: dict[str, Worker], model: str, weights: str) -> None:
    """Give both the same weights, and expect the same first losses."""
    pair["now"].ask("load", model=MODELS[model])
    pair["now"].ask("save_weights", path=weights)
    losses = []
    for worker in pair.values():
        worker.ask("load", model=MODELS[model], weights=weights)
        answer = worker.ask("answers", work="train", setting={}, images=1, steps=3, batch=BATCH)
        losses.append(answer["losses"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


if __name__ == "__main__":
    sys.exit(main())
