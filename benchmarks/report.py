"""docs/benchmarks.md, written anew from the stored results of all runs.

A run is one JSON file in docs/benchmarks/. The page shows the last complete run in full, the
figures of every run beside each other, and each run's machine and versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import frameworks
from benchmarks.rounds import median
from benchmarks.rows import BY_KEY, MAIN, ROWS, Row

Run = dict[str, Any]
NOTHING = "-"


def store(run: Run, folder: Path) -> Path:
    """Write `run` into `folder`/benchmarks; returns the file."""
    path = folder / "benchmarks" / f"{run['date'].replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(run), indent=1) + "\n")
    return path


def _rounded(value: Any) -> Any:
    """Floats with 5 digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def stored(folder: Path) -> list[Run]:
    """All runs in `folder`/benchmarks, oldest first."""
    paths = sorted((folder / "benchmarks").glob("*.json"))
    return [json.loads(path.read_text()) for path in paths]


def write(folder: Path) -> Path:
    """Write `folder`/benchmarks.md from all stored runs; returns it."""
    path = folder / "benchmarks.md"
    path.write_text(page(stored(folder)))
    return path


def page(runs: list[Run]) -> str:
    """The whole page. Raises ValueError without runs."""
    if not runs:
        raise ValueError("there are no stored runs to write about")
    full = [run for run in runs if set(run["rows"]) >= set(MAIN)]
    shown = full[-1] if full else runs[-1]
    with_curves = [run for run in runs if run.get("curves")]
    parts = [
        "# minicnn beside its peers",
        "Written by `make bench`; the numbers of all runs are in `docs/benchmarks/`. How it is "
        "measured stands at the end.",
        f"## The last {'complete ' if full else ''}run: {shown['date'].replace('T', ' ')}",
        facts(shown),
        "Cells: median (smallest - largest) of the rounds.",
        table(shown),
        remarks(shown),
        "## Every run",
        "The figure that the target is about: a ratio (the median of the rounds' ratios), or "
        "minicnn's own value where the target is one.",
        history(runs),
        "\n\n".join(f"**{run['date'].replace('T', ' ')}** {facts(run)}" for run in reversed(runs)),
    ]
    if with_curves:
        parts += ["## How the cost grows", curves(with_curves[-1])]
    parts += ["## How it is measured", METHOD]
    return "\n\n".join(part for part in parts if part) + "\n"


METHOD = """\
- Each framework runs in a process of its own, on the same cores and the same images: Fashion-MNIST
  as float32 arrays in memory, divided by 255.
- Before anything is timed, all of them get minicnn's initial weights (transposed as they need them)
  and have to give the same predictions within 1e-4, and over 3 steps of Adam without dropout and
  shuffling the same losses within 2e-3. If one does not, the benchmark stops.
- Every peer runs with the fastest of its settings, found by short trials: Keras with arrays or
  tf.data, with or without XLA, with one or more steps a call; PyTorch in a loop written by hand
  over tensors in memory, with the fused or the foreach Adam, as it is, channels last, or compiled
  (`torch.compile`, where there is a C++ compiler); for predict, also the batch size, frozen graphs,
  and onnxruntime's threads within a batch or a batch on each.
- Training includes shuffling, dropout and the running accuracy for all of them.
- One warm-up, then rounds. In a round everyone does the same work once, and the order turns from
  round to round. A ratio is minicnn's value over that of the best peer in the same round; the table
  has the median of these ratios.
- Whole processes, imports and first steps are fresh processes; the peak of memory is what the
  operating system says of the process. "Fresh environment" is an empty NUMBA_CACHE_DIR, and the
  step's time runs from the end of the imports, so it includes building the model."""


def facts(run: Run) -> str:
    """One paragraph: the machine, the versions, the commit, the command."""
    machine = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    speed = ""
    if run.get("limits"):
        one = [f"{v['gflops']:.0f} on {n}" for n, v in run["limits"].items()]
        speed = f" NumPy's matrix product: {', '.join(one)} (GFLOP/s on cores)."
    return (
        f"{machine['processor']}, {machine['cores used']} of {machine['cores']} cores, "
        f"{machine['memory GB']} GB, {machine['system']}; load before the run "
        f"{machine['load before']}. Python {machine['python']}, {versions}. "
        f"Data: {run['data']}. Commit {run['commit']}, `{run['command']}`, "
        f"{run['minutes']:.1f} minutes.{speed}"
    )


def table(run: Run) -> str:
    """A line for each row of the run."""
    peers = [
        name
        for name in frameworks.PEERS
        if any(name in result["values"] for result in run["rows"].values())
    ]
    head = ["work", "minicnn", *map(frameworks.title, peers), "figure", "target", "met"]
    lines = [head, ["---"] * len(head)]
    for row in ROWS:
        result = run["rows"].get(row.key)
        if result is None:
            continue
        values = result["values"]
        cells = [cell(values[name], row.unit) if name in values else NOTHING for name in peers]
        if "minicnn" in values:
            ours = cell(values["minicnn"], row.unit)
        else:
            ours = "; ".join(f"{name}: {cell(v, row.unit)}" for name, v in values.items())
        lines.append(
            [row.title, ours or NOTHING, *cells, figure(row, result), target(row), met(row, result)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def history(runs: list[Run]) -> str:
    """A line for each row, a column for each run."""
    head = ["work", "target", *(f"{run['date'][:16].replace('T', ' ')}" for run in runs)]
    commits = ["", "", *(run["commit"] for run in runs)]
    lines = [head, ["---"] * len(head), commits]
    for row in ROWS:
        results = [run["rows"].get(row.key) for run in runs]
        if any(results):
            cells = [
                NOTHING if r is None else f"{figure(row, r)} {met(row, r)}".strip() for r in results
            ]
            lines.append([row.title, target(row), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float, unit: str) -> str:
    """
    >>> number(31234.5, "images/s"), number(0.1234, "s"), number(312.6, "MB")
    ('31,200', '0.12', '313')
    """
    if unit == "images/s":
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}" if unit == "s" and value < 10 else f"{value:.{unit == 's':d}f}"


def cell(values: list[float], unit: str) -> str:
    """
    >>> cell([1.0, 3.0, 2.0], "s")
    '2.00 (1.00 - 3.00) s'
    """
    if not values:
        return NOTHING
    spread = f" ({number(min(values), unit)} - {number(max(values), unit)})"
    return f"{number(median(values), unit)}{spread if len(values) > 1 else ''} {unit}"


def figure(row: Row, result: dict[str, Any]) -> str:
    value = row.figure(result)
    if value is None:
        return NOTHING
    if row.goal[0].startswith("ratio"):
        return f"{value:.2f}x"
    sign = "+" if row.goal[0].startswith("more") and value >= 0 else ""
    return f"{sign}{number(value, row.unit)} {row.unit}"


def target(row: Row) -> str:
    kind, value = row.goal
    if kind.startswith("ratio"):
        return f"{'at least' if kind.endswith('>=') else 'at most'} {value:g}x"
    if kind.startswith("more"):
        return f"flat: at most +{value:g} {row.unit}"
    return f"at most {value:g} {row.unit}"


def met(row: Row, result: dict[str, Any]) -> str:
    return {None: "", True: "yes", False: "**no**"}[row.met(result)]


def remarks(run: Run) -> str:
    """What was chosen, what was missing, how well they agreed."""
    lines = []
    missing: dict[str, str] = {}
    for key, result in run["rows"].items():
        missing |= result.get("missing", {})
        chosen = [
            f"{_name(name)} {', '.join(f'{k} {_value(v)}' for k, v in setting.items())}"
            for name, setting in result.get("settings", {}).items()
            if setting
        ]
        if chosen:
            lines.append(f"- Settings, {BY_KEY[key].title}: {'; '.join(chosen)}.")
    for model, agreed in run.get("agreement", {}).items():
        differences = [
            f"{_name(name)} {', '.join(f'{k} {v:.1g}' for k, v in seen.items())}"
            for name, seen in agreed.items()
            if name != "minicnn"
        ]
        if differences:
            lines.append(f"- Largest differences from minicnn, {model}: {'; '.join(differences)}.")
    lines += [f"- Not there: {_name(name)}: {why}" for name, why in missing.items()]
    return "\n".join(lines)


def _name(name: str) -> str:
    return frameworks.title(name) if name in frameworks.KNOWN else name


def _value(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def curves(run: Run) -> str:
    """The pictures, and their numbers as a table each."""
    parts = [
        f"Run of {run['date'].replace('T', ' ')}, commit {run['commit']}; the tutorial model, "
        "batch 128, 28x28 pixels, 32 filters where the axis says nothing else."
    ]
    for quantity, curve in run["curves"].items():
        parts.append(f"![training time against {curve['label']}](benchmarks/{quantity}.png)")
        unit = "s for an epoch" if quantity == "images" else "s for 1,000 images"
        head = [curve["label"], *(f"{x:,}" for x in curve["x"])]
        lines = [head, ["---"] * len(head)]
        lines += [
            [f"{_name(name)}, {unit}", *(NOTHING if v is None else f"{v:.3g}" for v in values)]
            for name, values in curve["series"].items()
        ]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)
