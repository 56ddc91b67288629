"""How the cost grows: training time against one quantity at a time, as numbers and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import frameworks
from benchmarks.networks import DEEPER, TUTORIAL
from benchmarks.rounds import BATCH, Contest
from benchmarks.rows import Bench
from benchmarks.worker import WorkerError

PEERS = ("keras", "torch")
STEPS = 8  # training steps in one pass of a measurement

# quantity -> (what the axis says, values, values for --quick)
QUANTITIES: dict[str, tuple[str, list[int], list[int]]] = {
    "batch": ("batch size", [8, 32, 128, 512], [32, 128]),
    "images": ("images in an epoch", [1024, 4096, 12288, 24576], [512, 1024]),
    "filters": ("filters of the convolution", [8, 16, 32, 64, 128], [8, 32]),
    "size": ("pixels a side", [14, 28, 56, 112], [14, 28]),
}


def measure(bench: Bench) -> dict[str, Any]:
    """All curves on the tutorial model, and the threads on both; a series for each framework.

    Times are seconds for 1,000 images; for "images", seconds for an epoch.
    """
    o = bench.options
    bench.dismiss()
    budget = min(o.budget / 4, 0.3)
    peers = [name for name in PEERS if name in o.peers and not o.quick]
    curves: dict[str, Any] = {}
    with Contest(peers, TUTORIAL, bench.data, o.threads, bench.scratch, budget, bench.say) as c:
        for quantity, (label, values, few) in QUANTITIES.items():
            points = few if o.quick else values
            series: dict[str, list[float | None]] = {name: [] for name in c.workers}
            for value in points:
                if quantity in ("filters", "size"):
                    c.load({**TUTORIAL, quantity: value})
                elif c.model != TUTORIAL:
                    c.load(TUTORIAL)
                for name in c.workers:
                    series[name].append(_point(c, name, quantity, value, budget))
                bench.say(f"  curve: {label} {value}")
            curves[quantity] = {"label": label, "x": points, "series": series}
        counts = list(range(1, o.threads + 1))
        series = {}
        for title, model in (("minicnn, tutorial", TUTORIAL), ("minicnn, deeper", DEEPER)):
            c.load(model)
            images = 1024 if model is DEEPER else 2048
            rates = [
                c.measurement("minicnn", "train", {}, images, budget, threads=n)() for n in counts
            ]
            series[title] = [1000 / rate for rate in rates]
        curves["threads"] = {"label": "threads", "x": counts, "series": series}
    return curves


def _point(c: Contest, name: str, quantity: str, value: int, budget: float) -> float | None:
    """Seconds for 1,000 images (an epoch for "images"); None where the framework fails."""
    batch = value if quantity == "batch" else BATCH
    images = value if quantity == "images" else max(batch * STEPS, 1024)
    try:
        if quantity != "batch" and name != "minicnn":
            setting = {
                axis: v[0] for axis, v in c.workers[name].ask("axes", work="predict").items()
            }
            c.check(name, "predict", setting)
        first = {axis: v[0] for axis, v in c.workers[name].ask("axes", work="train").items()}
        measured = c.measurement(name, "train", first, images, budget, batch=batch)
        rate = measured()
        if images / rate < 2 * budget:  # cheap: take the median of three
            rate = sorted((rate, measured(), measured()))[1]
    except WorkerError as error:
        c.say(f"  {error}")
        return None
    return (images if quantity == "images" else 1000) / rate


def draw(curves: dict[str, Any], folder: Path) -> list[str]:
    """A small picture of each curve into `folder`; returns the file names."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for quantity, curve in curves.items():
        figure, ax = plt.subplots(figsize=(5, 3.6))
        for name, values in curve["series"].items():
            points = [(x, y) for x, y in zip(curve["x"], values) if y is not None]
            label = frameworks.title(name) if name in frameworks.KNOWN else name
            ax.plot(*zip(*points), marker="o", label=label)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(curve["x"], [f"{x:,}" for x in curve["x"]])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(curve["label"])
        ax.set_ylabel("s for an epoch" if quantity == "images" else "s for 1,000 images")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
        figure.tight_layout()
        names.append(f"{quantity}.png")
        figure.savefig(folder / names[-1], dpi=90)
        plt.close(figure)
    return names
