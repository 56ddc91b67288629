"""The small changes that `tools.mutants` tries: one operator, number, condition or statement each.

Left alone: imports, annotations, decorators, texts and what is raised. A change is a replacement of
some bytes of the file, so that the rest of it, comments included, stays as it is.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
from collections import Counter
from dataclasses import dataclass

OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
TWINS = {"max": "min", "maximum": "minimum", "any": "all"}
TWINS |= {twin: name for name, twin in TWINS.items()}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes start to end of the file become `text`."""

    file: str
    start: int
    end: int
    text: str
    line: int
    where: str  # class and function around it
    old: str  # its line before
    new: str  # and after
    code: str  # digest of that function, but for its docstring

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is, wherever in the file it may move to."""
        return self.file, self.where, self.old, self.new

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.where}\n    - {self.old}\n    + {self.new}"


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All changes of a file, in the order of its lines."""
    finder = _Finder(file, source)
    finder.walk(ast.parse(source), ())
    return sorted(finder.found.values(), key=lambda m: (m.start, m.end, m.text))


def names_of(mutants: list[Mutant]) -> dict[Mutant, str]:
    """A name for each, which it keeps until its function changes."""
    seen: Counter[tuple[str, ...]] = Counter()
    names = {}
    for m in mutants:
        same = (*m.key, m.code)
        names[m] = " | ".join((*same, str(seen[same])))
        seen[same] += 1
    return names


class _Finder:
    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source
        self.found: dict[tuple[int, int, str], Mutant] = {}
        self.scope: tuple[str, ...] = ()
        self.code = ""
        self.lines = [0]  # where each begins
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    # -- where things stand -----------------------------------------------------------------------

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.lines[node.lineno - 1] + node.col_offset
        return start, self.lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    # -- notes ------------------------------------------------------------------------------------

    def note(self, start: int, end: int, text: str) -> None:
        first = self.source.rfind(b"\n", 0, start) + 1
        last = self.source.find(b"\n", end)
        before, after = self.source[first:start].decode(), self.source[end:last].decode()
        old, new = (
            " ".join((before + middle + after).split())
            for middle in (self.source[start:end].decode(), text)
        )
        line = self.source.count(b"\n", 0, start) + 1
        where = ".".join(self.scope)
        mutant = Mutant(self.file, start, end, text, line, where, old, new, self.code)
        self.found[start, end, text] = mutant

    def put(self, node: ast.AST, *texts: str) -> None:
        """A change for each text, in place of the node."""
        for text in texts:
            self.note(*self.span(node), text)

    def swap(self, left: ast.AST, right: ast.AST, sign: str, *others: str) -> None:
        """Another operator between two operands."""
        start, end = self.span(left)[1], self.span(right)[0]
        match = re.search(re.escape(sign).replace(r"\ ", r"\s+").encode(), self.source[start:end])
        if match is None:
            raise ValueError(f"{self.file}: no {sign} in {self.source[start:end]!r}")
        for other in others:
            self.note(start + match.start(), start + match.end(), other)

    # -- the walk ---------------------------------------------------------------------------------

    def walk(self, node: ast.AST, scope: tuple[str, ...], code: str = "") -> None:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Raise():
                return
            case ast.Call(func=ast.Name(id="TypeVar")):
                return
        self.scope, self.code = scope, code
        self.change(node)
        children = ast.iter_child_nodes(node)
        match node:
            case ast.FunctionDef(name=name, args=args, body=body):
                defaults = [default for default in args.kw_defaults if default is not None]
                scope, children = (*scope, name), iter([*args.defaults, *defaults, *body])
                rest = body[1:] if ast.get_docstring(node, clean=False) is not None else body
                parts = "".join(map(ast.dump, [args, *rest]))
                code = hashlib.sha256(parts.encode()).hexdigest()[:12]
            case ast.ClassDef(name=name, body=body):
                scope, children = (*scope, name), iter(body)
            case ast.AnnAssign(value=value):
                children = iter([] if value is None else [value])
        for child in children:
            self.walk(child, scope, code)

    def change(self, node: ast.AST) -> None:
        match node:
            # statements; one that stands outside of all functions and classes is not left out
            case ast.Assign() | ast.AnnAssign(value=ast.expr()) | ast.Expr(value=ast.Call()):
                if self.scope:
                    self.put(node, "pass")
            case ast.AugAssign(target=target, op=op, value=value):
                self.put(node, "pass")
                sign, other = OPERATORS[type(op)]
                self.swap(target, value, sign + "=", "=", other + "=")
            case ast.Continue() | ast.Break() | ast.Return(value=None):
                self.put(node, "pass")
            # conditions
            case ast.If(test=test) | ast.IfExp(test=test):
                self.put(test, "True", "False")
            case ast.While(test=test):
                self.put(test, "False")
            case ast.comprehension(ifs=tests):
                for test in tests:
                    self.put(test, "True")
            case ast.BoolOp(op=op, values=values):
                for left, right in itertools.pairwise(values):
                    self.swap(left, right, *OPERATORS[type(op)])
            case ast.Compare(left=first, ops=ops, comparators=others):
                for left, op, right in zip([first, *others], ops, others):
                    self.swap(left, right, *OPERATORS[type(op)])
            # expressions
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                self.swap(left, right, *OPERATORS[type(op)])
            case ast.UnaryOp(operand=operand):
                self.put(node, self.text(operand))
            case ast.Constant(value=bool(value)):
                self.put(node, str(not value))
            case ast.Constant(value=int(value)):
                self.put(node, str(1 - value if value in (0, 1) else value + 1))
            case ast.Constant(value=float(value)):
                self.put(node, str(2 * value or 1.0))
            case ast.Name(id=name) if name in TWINS:
                self.put(node, TWINS[name])
            case ast.Attribute(attr=name) if name in TWINS:
                end = self.span(node)[1]
                self.note(end - len(name), end, TWINS[name])
            case ast.Subscript(slice=ast.Tuple(elts=axes)):
                self.shift(axes)
            case ast.Subscript(slice=axis):
                self.shift([axis])
            case ast.Call():
                self.omit(node)

    def shift(self, axes: list[ast.expr]) -> None:
        """Indices one too low, bounds of slices one too high."""
        for axis in axes:
            if isinstance(axis, ast.Name) and len(axis.id) == 1:  # n, i, j, a, b, c: an index
                self.put(axis, f"{axis.id} - 1")
            if isinstance(axis, ast.Slice):
                for bound in (axis.lower, axis.upper):
                    if bound is not None and not isinstance(bound, ast.Constant):
                        self.put(bound, f"{self.text(bound)} + 1")

    def omit(self, call: ast.Call) -> None:
        """Each argument that is given by its name, left out."""
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        for keyword in call.keywords:
            if keyword.arg is not None:
                start, end = self.span(keyword)
                ends = [self.span(each)[1] for each in given if self.span(each)[1] < end]
                self.note(max(ends, default=start), end, "")
