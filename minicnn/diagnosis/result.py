"""What `diagnose` returns: facts, problems, and how they are printed."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

WIDTH = 88  # columns of the printed report


@dataclass(frozen=True)
class Fact:
    """Something measured, which need not be wrong.

    Attributes
    ----------
    kind : str
        What it is about: "inputs", "first_loss", "units", "gradients" and so on.
    text : str
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Problem:
    """Something wrong.

    Attributes
    ----------
    kind : str
        Its stable name: "dead_relus", "inputs_not_scaled" and so on; docs/diagnose.md lists them.
    measured, means, remedy : str
        The numbers, what they mean, and what to try.
    layers : tuple of str
        The names of the layers concerned, if it concerns some more than others.
    """

    kind: str
    measured: str
    means: str
    remedy: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` has found; printed, it is a report.

    Attributes
    ----------
    facts : list of Fact
    warnings : list of Problem
        The cause before what follows from it.
    """

    facts: list[Fact]
    warnings: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; `bool(diagnosis)` is the same."""
        return not self.warnings

    def __bool__(self) -> bool:
        return self.ok

    @property
    def kinds(self) -> list[str]:
        """The kinds of the warnings."""
        return [one.kind for one in self.warnings]

    def __str__(self) -> str:
        lines = ["Measured"]
        for fact in self.facts:
            lines += _wrapped(fact.text, "  - ", "    ")
        if self.ok:
            lines += ["", "Nothing wrong was found."]
        for problem in self.warnings:
            lines += ["", f"Warning: {problem.kind}"]
            lines += _wrapped(f"Measured: {problem.measured}", "  ", "    ")
            lines += _wrapped(f"Meaning: {problem.means}", "  ", "    ")
            lines += _wrapped(f"Try: {problem.remedy}", "  ", "    ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        facts = "".join(f"<li>{html.escape(one.text)}</li>" for one in self.facts)
        problems = "".join(
            f"<dt><b>{html.escape(one.kind)}</b></dt><dd>{html.escape(one.measured)}<br>"
            f"{html.escape(one.means)}<br><b>Try:</b> {html.escape(one.remedy)}</dd>"
            for one in self.warnings
        )
        end = f"<dl>{problems}</dl>" if problems else "<p>Nothing wrong was found.</p>"
        return f"<ul>{facts}</ul>{end}"


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
