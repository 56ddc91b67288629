"""What `course.check` returns, and how it is printed."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from minicnn.gradcheck import CheckResult, Mistake

WIDTH = 88  # columns of what is printed


class Text(str):
    """Text that an interpreter shows as it is printed, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Finding(Mistake):
    """A mistake, with the answers that it spoils, such as ("dW", "db")."""

    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Where an answer differs, in the simplest case in which it does.

    Attributes
    ----------
    output : str
        Which answer: "dx".
    index : tuple of int
        The place of the number that is off the most; () if the answer is one number.
    received, expected : float
    count, size : int
        How many numbers are off, and how many there are.
    case : str
        The arguments: their shapes and values.
    """

    output: str
    index: tuple[int, ...]
    received: float
    expected: float
    count: int
    size: int
    case: str

    def __str__(self) -> str:
        place = str(list(self.index)) if self.index else ""
        numbers = f"{self.count} of {self.size} numbers" if self.size > 1 else "the number"
        verb = "are" if self.count > 1 else "is"
        received, expected = (f"{one + 0:.6g}" for one in (self.received, self.expected))
        if received == expected:
            received, expected = (f"{one:.12g}" for one in (self.received, self.expected))
        most = "most of all " if self.size > 1 else ""
        return (
            f"{self.output}: {numbers} {verb} off, {most}{self.output}{place}: received "
            f"{received}, expected {expected}, {self.off} off"
        )

    @property
    def off(self) -> str:
        """By how much."""
        return f"{abs(self.received - self.expected):.2g}"


@dataclass(frozen=True)
class Answer:
    """What is found about a reader's function; true if it is right.

    Attributes
    ----------
    exercise, signature : str
        "conv_backward", and how the function is called.
    mistakes : tuple of Mistake
        Each with a short name, `kind`, and what to do about it, `text`; where it spoils some of the
        answers, a `Finding`, with their names as `outputs`.
    differences : tuple of Difference
        One for each answer that is wrong.
    right : tuple of str
        The answers that are right, where others are not.
    error : str
        The traceback, if the function raised.
    cases : int
        How many calls were compared.
    case : str
        The arguments of the simplest call that went wrong.
    seen : str
        In how many of the calls.
    remarks : tuple of str
        What else there is to say.
    gradients : CheckResult or None
        What `minicnn.gradcheck` says of it.
    """

    exercise: str
    signature: str
    mistakes: tuple[Mistake, ...] = ()
    differences: tuple[Difference, ...] = ()
    right: tuple[str, ...] = ()
    error: str = ""
    cases: int = 0
    case: str = ""
    seen: str = ""
    remarks: tuple[str, ...] = ()
    gradients: CheckResult | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; `bool(answer)` is the same."""
        return not (self.mistakes or self.differences or self.error)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def kinds(self) -> list[str]:
        """The short names of the mistakes."""
        return [mistake.kind for mistake in self.mistakes]

    def __str__(self) -> str:
        verdict = "passed" if self.ok else "not yet"
        if self.ok:
            also = " and central differences agree" if self.gradients is not None else ""
            verdict = f"passed ({self.cases} cases{also})"
        lines = [f"{self.exercise}: {verdict}"]
        lines += _wrapped(self.signature) if not self.ok else []
        for mistake in self.mistakes:
            spoiled = f" in {', '.join(mistake.outputs)}" if isinstance(mistake, Finding) else ""
            lines += _wrapped(f"{mistake.kind}{spoiled}: {mistake.text}")
        for difference in self.differences:
            lines += _wrapped(str(difference))
        if self.differences and not self.mistakes:
            lines += _wrapped("no common mistake explains it")
        if self.right:
            lines += _wrapped(f"right: {', '.join(self.right)}")
        if self.error:
            lines += ["  your function raised:", textwrap.indent(self.error.rstrip(), "    ")]
        if self.case:
            lines += _wrapped(f"with {self.case}{self.seen}")
        for remark in self.remarks:
            lines += _wrapped(remark)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        first, *rest = str(self).splitlines()
        mark, words = ("&#10003;", "passed") if self.ok else ("&#10007;", "not yet")
        told = html.escape("\n".join(rest))
        head = html.escape(first.replace(words, "", 1).rstrip(": "))
        body = f"<pre>{told}</pre>" if rest else ""
        return f"<p>{mark} <b>{words}</b>: {head}</p>{body}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
