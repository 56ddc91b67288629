"""What the examples reach on Fashion-MNIST, written to docs/results.md.

    python -m benchmarks.results                  # make results: all sections, about an hour
    python -m benchmarks.results ways best        # these sections; the others stay

Each run is a process that prints its figures as a user sees them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

from minicnn.datasets import fashion_mnist

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"
SEEDS = range(42, 47)
FEW_SEEDS = range(1, 4)
KERAS = {"": (0.872, 0.881), "--raw-pixels": (0.45, 0.77)}  # five seeds, TensorFlow on a CPU

HEAD = """# Results on Fashion-MNIST

Written by `make results`, which runs the examples on the real data. Not edited by hand.
"""

TUTORIAL = """
`examples/fashion_mnist.py`: 2 epochs, batch 128. The tutorial's model, trained for 2 epochs, has
not settled: its test accuracy moves with the seed by up to two points. Keras's ranges below are of
five seeds (TensorFlow backend, CPU). Over more seeds the two agree: `python -m benchmarks.seeds
minicnn --seeds 100 124` gave 24 accuracies with mean 0.8754, from 0.8644 to 0.8839; the same script
for Keras (seeds 42 to 49 and 100 to 107) gave 16 with mean 0.8760, from 0.8684 to 0.8815. With
pixels as they are, seven seeds of Keras (42 to 48) gave 0.62 to 0.84.
"""

LONGER = """
Three times as long (`python -m benchmarks.seeds minicnn --network best --seeds 1 4 --epochs 48`):
0.9434, 0.9405 and 0.9412, mean 0.9417; with mirrored images 0.9456, 0.9447 and 0.9457, mean 0.9453.
"""


def printed(*arguments: str) -> str:
    """What a Python program of the project prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def example(name: str, *options: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return printed(str(ROOT / "examples" / name), "--output", folder, *options)


def figure(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        sys.exit(f"no {pattern} in what was printed:\n{output}")
    return match[1]


def table(*titles: str) -> list[str]:
    return ["", f"| {' | '.join(titles)} |", f"| {' | '.join('---' for _ in titles)} |"]


def row(*cells: str) -> str:
    print(*cells, sep="  ", flush=True)
    return f"| {' | '.join(cells)} |"


def tutorial() -> list[str]:
    lines = [TUTORIAL]
    for option, (low, high) in KERAS.items():
        title = "Pixels as they are (`--raw-pixels`)" if option else "Pixels divided by 255"
        lines += [f"### {title}", *table("command", "test accuracy", "test loss")]
        accuracies = []
        for seed in SEEDS:
            output = example("fashion_mnist.py", "--seed", str(seed), *option.split())
            accuracies.append(float(figure(r"Test accuracy: (\S+)", output)))
            loss = float(figure(r"Test loss: (\S+)", output))
            command = f"`examples/fashion_mnist.py --seed {seed} {option}".strip() + "`"
            lines.append(row(command, f"{accuracies[-1]:.4f}", f"{loss:.4f}"))
        inside = sum(low <= accuracy for accuracy in accuracies)
        lines.append(
            f"\nFrom {min(accuracies):.4f} to {max(accuracies):.4f}, median "
            f"{median(accuracies):.4f}; Keras: {low} to {high}. {inside} of {len(accuracies)} in "
            "Keras's range or above it.\n"
        )
    return lines


def ways() -> list[str]:
    """The table that `make improve` prints, and its sentences."""
    output = example("improve.py")
    lines = ["\n`make improve`: each way for 5 epochs, on the same data and seed."]
    lines += table("way", "validation", "test", "parameters", "seconds")
    cells = r"^([^\d\n]+?) +([\d.]+) +([\d.]+) +([\d,]+) +([\d.]+)$"
    for found in re.finditer(cells, output, re.M):
        lines.append(row(*found.groups()))
    return [*lines, "", *re.findall(r"^.*\bthan baseline\b.*$", output, re.M), ""]


def best() -> list[str]:
    lines = ["\n`make best` with three seeds: all 60,000 training images, the test images once."]
    lines += table("command", "test accuracy", "with mirrored images", "seconds")
    found = []
    for seed in FEW_SEEDS:
        output = example("improve.py", "--best", "--seed", str(seed))
        once, both, seconds = (
            figure(pattern, output)
            for pattern in (
                r"Test accuracy: (\S+), each image seen as it is\n",
                r"Test accuracy: (\S+), each image seen as it is and mirrored",
                r"([\d.]+) seconds",
            )
        )
        found.append((float(once), float(both)))
        lines.append(row(f"`make best ARGS='--seed {seed}'`", once, both, seconds))
    once, both = (f"{mean(column):.4f}" for column in zip(*found))
    return [*lines, f"\nMean {once}, with mirrored images {both}.", LONGER]


def deeper() -> list[str]:
    command = ["-m", "benchmarks.seeds", "minicnn", "--network", "deeper", "--seeds", "1", "4"]
    output = printed(*command)
    print(output, flush=True)
    what = f"`python {' '.join(command)}`: 12 epochs on the tutorial's split."
    return [f"\n{what}\n\n```text\n{output}```\n"]


SECTIONS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "tutorial": ("The tutorial", tutorial),
    "ways": ("Five ways to improve it", ways),
    "best": ("The best recipe", best),
    "deeper": ("The deeper model", deeper),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    chosen = parser.parse_args().sections or list(SECTIONS)
    try:  # before minutes are spent on images that the examples would draw
        fashion_mnist.load_data()
    except fashion_mnist.DatasetUnavailable as error:
        sys.exit(f"These runs need the real Fashion-MNIST. {error}")
    for name in chosen:
        title, write = SECTIONS[name]
        texts = dict(
            re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
        )
        texts[title] = "\n".join(write())
        parts = [f"## {title}\n{texts[title]}" for title, _ in SECTIONS.values() if title in texts]
        PAGE.write_text("\n".join([HEAD, *parts]).rstrip() + "\n", encoding="utf-8")
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
