"""Peak resident memory of training, network by network: minicnn beside its peers.

    python -m benchmarks.memory                                        # all workloads
    python -m benchmarks.memory "LeNet-5, ReLU, max" --peers torch

Each framework trains in a separate process, with batches of 128 and its default settings. minicnn's
kernels are compiled beforehand, in a process that is not measured. Linux only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import frameworks
from benchmarks.__main__ import prepare
from benchmarks.networks import WORKLOADS
from benchmarks.rounds import BATCH
from benchmarks.worker import Worker

IMAGES, EPOCHS, THREADS = 8 * BATCH, 2, 2


def peak(name: str, model: dict[str, Any], data: Path, weights: Path) -> float:
    """Peak resident memory in MB of a process that trains the model from these weights.

    Writes minicnn's initial weights where the file does not exist yet.
    """
    worker = Worker(name, data, THREADS)
    try:
        if weights.exists():
            worker.ask("load", model=model, weights=str(weights))
        else:
            worker.ask("load", model=model)
            worker.ask("save_weights", path=str(weights))
        axes = worker.ask("axes", work="train")
        setting = {axis: values[0] for axis, values in axes.items()}
        worker.ask("train", setting=setting, images=IMAGES, batch=BATCH, epochs=EPOCHS)
        return worker.peak_mb()
    finally:
        worker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", nargs="*", default=["keras", "torch", "torch_last"])
    parser.add_argument("--data", help="as for examples/fashion_mnist.py")
    args = parser.parse_args()
    unknown = [name for name in args.networks if name not in WORKLOADS]
    if unknown:
        parser.error(f"expected networks of {list(WORKLOADS)}, received {unknown}")
    if not Path("/proc/self/status").exists():
        sys.exit("Peak memory can only be read on Linux")
    names = ["minicnn", *args.peers]
    print("| network, MB | " + " | ".join(map(frameworks.title, names)) + " |")
    print("| --- " * (1 + len(names)) + "|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare(data, args.data, IMAGES)
        for network in args.networks or WORKLOADS:
            model, weights = WORKLOADS[network], Path(folder) / "weights.npz"
            weights.unlink(missing_ok=True)
            peak("minicnn", model, data, weights)  # compiles the kernels
            cells = [f"{peak(name, model, data, weights):.0f}" for name in names]
            print(f"| {network} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
