"""Steps on several threads and ranks, beside PyTorch's; and on paper, for more than there are here.

    python -m benchmarks.scaling            # writes docs/scaling.md and its pictures; 3 minutes
    python -m benchmarks.scaling --quick    # few steps, into outputs/: does everything run?

Each measurement runs in a new process, or in two started by mpiexec with one thread each; a round
runs every measurement once, and the order rotates from round to round. PyTorch runs
DistributedDataParallel over gloo, with the memory layout and the Adam that are faster here.
`scaling_model.py` has the formulas.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import machine, scaling_model
from benchmarks.networks import MODELS
from benchmarks.processes import ProcessError
from benchmarks.rounds import order
from benchmarks.scaling_model import ETHERNET, GOOD, INFINIBAND, RANKS, THREADS, Cost
from benchmarks.worker import ROOT, environment

BATCH = 128
BATCHES = (128, 512, 2048, 8192)
SIZES = (8, 16, 32, 64)
STEPS = {"tutorial": (150, 24), "deeper": (16, 8)}  # of a measurement: ours, PyTorch's
TITLES = {
    "1 thread": "minicnn, 1 thread",
    "2 threads": "minicnn, 2 threads",
    "1 rank": "minicnn, 1 rank under mpiexec",
    "2 ranks": "minicnn, 2 ranks",
    "torch": "PyTorch, 1 thread",
    "ddp": "PyTorch DDP with gloo, 2 ranks",
}
WORKER = [sys.executable, "-m", "benchmarks.scaling_worker"]


def mpiexec() -> str:
    """The one beside Python, else that of the PATH. Raises SystemExit without any."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None or importlib.util.find_spec("mpi4py") is None:
        sys.exit("benchmarks.scaling needs mpiexec and mpi4py: pip install 'minicnn[mpi]'")
    return found


def answers(commands: list[list[str]], variables: list[dict[str, str]]) -> dict[str, Any]:
    """What the first of some processes that run at once has found."""
    alone = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    running = [
        subprocess.Popen(
            command, cwd=ROOT, env=environment(**alone, **more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for command, more in zip(commands, variables)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=600) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, said):
        if process.returncode:
            last = errors.strip().splitlines()[-3:]
            raise ProcessError(f"{process.args} ended with {process.returncode}: {last}")
    return json.loads(said[0][0].splitlines()[-1])


def measured(name: str, model: str, steps: tuple[int, int], setting: Any) -> dict[str, Any]:
    """One measurement, by its name in `TITLES`."""
    ours = [*WORKER, "steps", model, "--steps", str(steps[0])]
    torch = [*WORKER, "torch", model, "--steps", str(steps[1]), "--setting", json.dumps(setting)]
    if name in ("1 thread", "2 threads"):
        return answers([[*ours, "--threads", name[0]]], [{}])
    if name in ("1 rank", "2 ranks"):
        return answers([[mpiexec(), "-n", name[0], *ours]], [{}])
    if name == "torch":
        return answers([torch], [{}])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    return answers([torch, torch], [{**meeting, "RANK": rank} for rank in "01"])


def race(model: str, rounds: int, quick: bool) -> dict[str, Any]:
    """All measurements of a model: medians over the rounds, and ratios taken within them."""
    steps = (3, 2) if quick else STEPS[model]
    names = list(TITLES)
    setting = None
    if importlib.util.find_spec("torch") is None:
        names = [name for name in names if name not in ("torch", "ddp")]
    else:
        setting = measured("torch", model, steps, {})["setting"]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in order(names, turn):
            found[name].append(measured(name, model, steps, setting))
            print(f"  {model}, {name}: {1e3 * found[name][-1]['seconds']:.2f} ms", flush=True)
    return {
        "setting": setting,
        "steps": {
            name: {key: statistics.median([one[key] for one in ones]) for key in _numbers(ones)}
            for name, ones in found.items()
        },
        "ratios": {
            f"{a} / {b}": statistics.median(
                [x["seconds"] / y["seconds"] for x, y in zip(found[a], found[b])]
            )
            for a, b in (("1 thread", "2 threads"), ("1 thread", "2 ranks"), ("torch", "ddp"),
                         ("ddp", "2 ranks"))
            if a in found and b in found
        },
    }  # fmt: skip


def _numbers(ones: list[dict[str, Any]]) -> list[str]:
    return [key for key, value in ones[0].items() if isinstance(value, float)]


def taken_apart(model: str, others: tuple[int, ...], quick: bool) -> dict[str, Any]:
    """The parts of a step on one thread, with the network's own shards and with others'."""
    batches = [BATCH] if quick else [BATCH, 512]
    steps = 2 if quick else STEPS[model][0]
    found: list[dict[str, Any]] = []
    for size in (0, *others):
        numbers = [("--sizes", [size]), ("--batches", batches), ("--counts", [1, 2])]
        more = [str(one) for key, values in numbers for one in (key, *values)]
        command = [*WORKER, "shards", model, "--steps", str(steps), *more]
        found.append(answers([command], [{}]))
        print(f"  {model}, shards of {size or 'its own size'}", flush=True)
    return {**found[0], "steps": [step for one in found for step in one["steps"]]}


def cost_of(found: dict[str, Any], size: int = 0) -> Cost:
    """What was measured with these shards, on the largest batch."""
    one = max((s for s in found["steps"] if s["size"] == size), key=lambda s: s["batch"])
    alike = sum(one["update"]) + one["rest"]
    shard = statistics.mean(one["shards"])
    samples = -(-one["batch"] // len(one["shards"]))
    return Cost(found["parameters"], samples, shard, alike, found["add"])


# -- the page -------------------------------------------------------------------------------------


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def measured_table(name: str, found: dict[str, Any]) -> str:
    lines = []
    for key, one in found["steps"].items():
        base = found["steps"]["torch" if key in ("torch", "ddp") else "1 thread"]["seconds"]
        sends = key == "2 ranks"
        lines.append(
            [
                TITLES[key],
                f"{1e3 * one['seconds']:.2f}",
                f"{base / one['seconds']:.2f}",
                f"{one['bytes']:,.0f}" if sends else "",
                f"{one['mpi']:.0%}" if sends else "",
            ]
        )
    head = [f"{name}, batch {BATCH}", "step, ms", "speedup", "bytes sent", "in MPI"]
    text = table(head, lines)
    if "ddp / 2 ranks" in found["ratios"]:
        ratio, setting = found["ratios"]["ddp / 2 ranks"], found["setting"]
        text += "\n\n" + filled(
            f"On 2 ranks a step of PyTorch's takes {ratio:.2f} times as long as ours (median "
            f"of the rounds' ratios; PyTorch with {setting['layout']}, {setting['adam']} Adam)."
        )
    return text


def parts_table(parts: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, found in parts.items():
        for one in found["steps"]:
            if one["size"] == 0:
                jobs = [sum(one["update"]), one["rest"]]
                lines.append(
                    [
                        name,
                        str(one["batch"]),
                        f"{len(one['shards'])} x {1e3 * statistics.mean(one['shards']):.2f}",
                        *(f"{1e3 * value:.2f}" for value in jobs),
                        f"{1e3 * found['add']:.2f}",
                    ]
                )
    head = ["model", "batch", "shards, ms", "sum, optimizer", "the rest", "one addition"]
    return table(head, lines)


def ranks_table(cost: Cost, batches: tuple[int, ...]) -> str:
    lines = []
    for network in (ETHERNET, INFINIBAND):
        for batch in batches:
            steps = [scaling_model.step(batch, ranks, cost, network) for ranks in RANKS]
            best = min(steps)
            rates = [f"{1 / s:.3g}" if s > best else f"**{1 / s:.3g}**" for s in steps]
            lines.append([f"{batch:,}, {network.name.split(',')[0]}", *rates])
    return table(["batch, network", *map(str, RANKS)], lines)


def limits_table(costs: dict[str, Cost]) -> str:
    """What batch keeps how many ranks busy."""
    lines = [
        [f"{name}, {network.name.split(',')[0]}"]
        + [
            "-" if batch is None else f"{batch:,}"
            for batch in (scaling_model.batch_for(ranks, cost, network) for ranks in RANKS[1:])
        ]
        for name, cost in costs.items()
        for network in (ETHERNET, INFINIBAND)
    ]
    return table(["model, network", *map(str, RANKS[1:])], lines)


def threads_table(steps: list[dict[str, Any]]) -> str:
    lines = []
    for one in steps:
        for_threads = {count: scaling_model.threaded(one, count) for count in THREADS}
        lines.append(
            [
                f"{one['batch']}, {one['size']}",
                str(len(one["shards"])),
                *(f"{1 / seconds:.3g}" for seconds in for_threads.values()),
                *(f"{1 / one['threads'][n]:.3g}" for n in ("1", "2")),
                f"{for_threads[2] / one['threads']['2']:.2f}",
            ]
        )
    head = ["batch, shards of", "shards", *(f"{n} on paper" for n in THREADS)]
    return table([*head, "1 measured", "2 measured", "paper / measured, 2"], lines)


def best_sizes(steps: list[dict[str, Any]]) -> str:
    """Which shards take most steps on how many threads, on paper."""
    sentences = []
    for batch in sorted({one["batch"] for one in steps}):
        chosen = [one for one in steps if one["batch"] == batch]
        best = [
            min(chosen, key=lambda one: scaling_model.threaded(one, count))["size"]
            for count in THREADS
        ]
        sizes = ", ".join(f"{size} on {count}" for size, count in zip(best, THREADS))
        sentences.append(f"On paper a batch of {batch} is fastest in shards of {sizes} threads.")
    return " ".join(sentences)


INTRODUCTION = """\
Written by `python -m benchmarks.scaling`: {processor}, {cores} cores, {date}, commit {commit},
load before the run {load}. How to run on several processes: [distributed.md](distributed.md).

## Measured here

A step of training in `fit`, medians of {rounds} rounds; in each of them every line ran once, in
an order that turns. A rank has one thread. Bytes are those that one rank sends in a step. The
share of the time in MPI's calls includes waiting for the other rank. The two models are those of
`examples/fashion_mnist.py`. PyTorch's first losses agree with ours before it is timed."""

ON_PAPER = """\
## On paper: 1 to 256 ranks

A step on R ranks is taken to last

```
ceil(shards / R) * a shard  +  what every rank does alike (optimizer, the loop)
    +  bytes / bandwidth  +  (2 (R - 1) + log2 R) messages * latency  +  additions of vectors / R
```

with the times of one thread (below), and the bytes of the two calls in which the gradient
travels: with one node of the tree a rank, 8 (1 - 1/R) times the number of parameters. Networks:
{ethernet} a message; {infiniband}. Each rank is a machine by itself, and none waits for a
straggler; both flatter the figures. Nothing travels while a rank computes, as here. Checked
against what can be measured: two ranks without a network would take {paper}; {real} were
measured.

{parts}

Steps a second, the most of each line in bold:"""

WHERE = """\
![Steps a second against ranks](images/scaling-ranks.png)

Where it stops to pay: ranks beyond the number of shards have nothing to do, and only send. So a
batch of {batch} pays on {own} ranks; cut into shards of {small} (`set_shard_size({small})`) it
has {more} shards, and takes most steps with {cut}. A larger batch feeds more: the smallest that
keeps R ranks busy for {good:.0%} of their time (- where none up to {largest:,} does, since what
every rank does alike and the messages grow too large beside its share):"""

THREADS_TEXT = """\
## Shards and threads

The same on paper for T threads of one process: shards of the {name} model, each
taken by the first thread that is free; the optimizer's pieces, likewise; the rest by one thread.
Threads do not slow each other on paper, but share caches, memory and Python's lock in truth: the
last column says by how much that is too optimistic on two. Steps a second:"""


def prose(text: str, **values: Any) -> str:
    """A text with its values, its paragraphs filled anew; a code block, or a table, as it is."""
    blocks = text.format(**values).split("\n\n")
    kept = ("```", "|", "#", "!")
    return "\n\n".join(one if one.startswith(kept) else filled(one) for one in blocks)


def filled(text: str) -> str:
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def threaded(found: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The last model and its steps with several sizes of shards, by batch."""
    name, parts = list(found["parts"].items())[-1]
    return name, sorted((s for s in parts["steps"] if s["size"]), key=lambda s: s["batch"])


def page(found: dict[str, Any]) -> str:
    """The page, from what `main` has measured."""
    costs = {name: cost_of(parts) for name, parts in found["parts"].items()}
    small = {name: cost_of(parts, SIZES[0]) for name, parts in found["parts"].items()}
    paper, real = [], []
    for name, cost in costs.items():
        free = scaling_model.Network("none", float("inf"), 0.0)
        paper.append(f"{1e3 * scaling_model.step(BATCH, 2, cost, free):.1f} ms ({name})")
        real.append(f"{1e3 * found['races'][name]['steps']['2 ranks']['seconds']:.1f} ms ({name})")
    own = {-(-BATCH // cost.size) for cost in costs.values()}
    cut = [
        f"{scaling_model.most_useful(BATCH, cost, network)} ({name}, {network.name.split(',')[0]})"
        for name, cost in small.items()
        for network in (ETHERNET, INFINIBAND)
    ]
    name, steps = threaded(found)
    parts = [
        "# What more cores and more machines bring",
        prose(
            INTRODUCTION, **found["facts"]
        ),
        *(measured_table(name, race) for name, race in found["races"].items()),
        prose(
            ON_PAPER,
            ethernet=ETHERNET.name, infiniband=INFINIBAND.name, paper=" and ".join(paper),
            real=" and ".join(real), parts=parts_table(found["parts"]),
        ),
        *(
            f"{name.capitalize()} model, {cost.parameters:,} parameters, shards of {cost.size}:\n\n"
            + ranks_table(cost, BATCHES)
            for name, cost in costs.items()
        ),
        *(
            f"{name.capitalize()} model, shards of {cost.size}:\n\n"
            + ranks_table(cost, BATCHES[:1])
            for name, cost in small.items()
        ),
        prose(
            WHERE,
            batch=BATCH, own=" or ".join(map(str, sorted(own))), small=SIZES[0],
            more=-(-BATCH // SIZES[0]), cut=", ".join(cut), good=GOOD,
            largest=scaling_model.LARGEST,
        ),
        limits_table(costs),
        prose(THREADS_TEXT, name=name),
        threads_table(steps),
        filled(best_sizes(steps)),
        "![Steps a second against threads](images/scaling-threads.png)",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="few steps; written to outputs/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS), help="the last one on threads"
    )
    parser.add_argument("--output", type=Path, help="folder of the page; docs if not given")
    args = parser.parse_args(arguments)
    mpiexec()
    folder = args.output or ROOT / ("outputs/benchmarks" if args.quick else "docs")
    rounds = 1 if args.quick else args.rounds
    here = machine.describe(os.cpu_count() or 1)
    facts = {
        "processor": here["processor"], "cores": here["cores"], "load": here["load before"],
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "commit": machine.commit(), "rounds": rounds,
    }  # fmt: skip
    found: dict[str, Any] = {"facts": facts}
    found["parts"] = {
        name: taken_apart(name, SIZES if name == args.models[-1] else SIZES[:1], args.quick)
        for name in args.models
    }
    found["races"] = {name: race(name, rounds, args.quick) for name in args.models}
    text = page(found)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scaling.md"
    path.write_text(text)
    costs = {name: cost_of(parts) for name, parts in found["parts"].items()}
    scaling_model.draw_ranks(costs, BATCHES, folder / "images" / "scaling-ranks.png")
    scaling_model.draw_threads(*threaded(found), folder / "images" / "scaling-threads.png")
    for line in text.splitlines():
        if line.startswith("|"):
            print(line)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
