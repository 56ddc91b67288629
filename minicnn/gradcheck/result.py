"""What a check found, as objects and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minicnn import checks, html

COLUMNS = ("parameter", "shape", "worst error", "tolerance", "checked", "kinks", "verdict")


class GradientCheckError(AssertionError):
    """A gradient that does not agree with the differences; the message is the whole table."""


@dataclass(frozen=True)
class Mistake:
    """A likely mistake, or a fault beside wrong numbers: a short name, and the explanation."""

    kind: str
    text: str


@dataclass(frozen=True)
class Wrong:
    """One number that is off: what backward says, and what the differences say."""

    index: tuple[int, ...]
    analytic: float
    numeric: float
    note: str = ""

    def __str__(self) -> str:
        place, said = list(self.index), f"{self.numeric:.8g}{self.note}"
        return f"{place}: backward says {self.analytic:.8g}, the differences say {said}"


@dataclass(frozen=True)
class TensorCheck:
    """One line of the table: x, or one parameter, such as "W", or "conv2d/W" in a model.

    Attributes
    ----------
    error : float
        Greatest difference between the two gradients, as a part of the greatest number in them.
    checked, kinks : int
        Numbers that were compared, and numbers left out since they lie on a kink; if `by_products`,
        products <dy, J v> and <J^T dy, v> that were compared, and outputs left out of them.
    wrong : tuple of Wrong
        The numbers that are off, worst first; at most a few of the `wrong_count`.
    reason, where : str
        Why it failed, if not for a wrong number; what the places of the wrong ones have in common.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    tolerance: float
    checked: int
    kinks: int
    by_products: bool
    wrong: tuple[Wrong, ...] = ()
    wrong_count: int = 0
    reason: str = ""
    where: str = ""
    mistake: Mistake | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and enough could be compared."""
        return not self.reason and not self.wrong_count

    def cells(self) -> tuple[str, ...]:
        """Its line in the table."""
        error = f"{self.error:.1e}" if self.checked else "-"
        checked = f"{self.checked} {'products' if self.by_products else 'each'}"
        numbers = str(self.shape), error, f"{self.tolerance:.0e}", checked, str(self.kinks)
        return self.name, *numbers, verdict(self.ok)

    def story(self) -> list[str]:
        """The lines that explain a failure."""
        lines = [f"{self.name}: {self.reason}"] if self.reason else []
        if self.wrong_count:  # on a kink a number may be wrong, too
            numbers = f"{self.checked + self.kinks} numbers"
            total = f"{self.checked} products" if self.by_products else numbers
            lines.append(f"{self.name}: {self.wrong_count} of {total} are off")
        lines += [f"    {self.name}{wrong}" for wrong in self.wrong]
        lines += [f"    {self.where}"] if self.where else []
        if self.mistake is not None:
            lines.append(f"    likely mistake: {self.mistake.text}")
        elif self.wrong_count:
            lines.append("    no common mistake fits")
        return lines


@dataclass(frozen=True)
class CheckResult:
    """What `check_layer`, `check_model` and `check_loss` return; prints as a table.

    Attributes
    ----------
    rows : tuple of TensorCheck
    problems : tuple of Mistake
        Faults beside wrong numbers: gradients that accumulate, inputs that are written to, replicas
        that share what each should have alone ("shared state").
    hints : tuple of str
        Further lines for a failure.
    engine : CheckResult or None
        For a float32 model: the engine's own gradients, in float32 and with its fused steps,
        against those of float64. Its problems, of the kind "engine", name what is wrong.
    """

    title: str
    rows: tuple[TensorCheck, ...]
    problems: tuple[Mistake, ...] = ()
    hints: tuple[str, ...] = ()
    engine: CheckResult | None = None

    @property
    def ok(self) -> bool:
        """Whether every gradient agrees and nothing else is wrong."""
        right = not self.problems and all(row.ok for row in self.rows)
        return right and (self.engine is None or self.engine.ok)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def mistakes(self) -> dict[str, str]:
        """Kind of the mistake found, by parameter; those beside the numbers by their own kind."""
        found = {row.name: row.mistake.kind for row in self.rows if row.mistake is not None}
        found |= {problem.kind: problem.kind for problem in self.problems}
        return found if self.engine is None else {**found, **self.engine.mistakes}

    @property
    def worst(self) -> float:
        """Greatest error of all rows."""
        return max((row.error for row in self.rows), default=0.0)

    def __getitem__(self, name: str) -> TensorCheck:
        """The row of that parameter. Raises KeyError with the names that there are."""
        rows, shown = {row.name: row for row in self.rows}, checks.shown(name)
        if not isinstance(name, str):
            expected = "expected the name of a row, such as 'x'"
            raise TypeError(f"CheckResult: {expected}, received {shown}")
        if name not in rows:
            raise KeyError(f"{shown}; there are {', '.join(rows)}")
        return rows[name]

    def raise_if_failed(self) -> None:
        """Raise GradientCheckError, with this table as its message, unless all is well."""
        if not self.ok:
            raise GradientCheckError(f"\n{self}")

    def _parts(self) -> tuple[str, list[tuple[str, ...]], list[str]]:
        """What stands above the table, its rows, and what stands below: what is wrong."""
        below = [line for row in self.rows for line in row.story()]
        below += [f"{problem.kind}: {problem.text}" for problem in self.problems]
        return f"{self.title}: {verdict(self.ok)}", [row.cells() for row in self.rows], below

    def __str__(self) -> str:
        heading, rows, below = self._parts()
        lines = [f"  {line}" for line in table(COLUMNS, rows)]
        engine = [] if self.engine is None else [str(self.engine)]
        return "\n".join([heading, *lines, *below, *engine, *self.hints])

    def _repr_html_(self) -> str:
        heading, rows, below = self._parts()
        top = html.paragraph(heading, strong=True) + html.table(COLUMNS, rows, numbers=[2, 3])
        engine = "" if self.engine is None else self.engine._repr_html_()
        return top + html.lines(below) + engine + html.lines(self.hints)

    __repr__ = __str__


def verdict(ok: bool) -> str:
    return "ok" if ok else "FAILED"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, text to the left.

    >>> table(("parameter", "shape"), [("W", "(3, 2)")])
    ['parameter  shape', 'W          (3, 2)']
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (columns, *rows)]
