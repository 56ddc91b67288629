"""Notebooks of the course's pages and of scripts: made from their text, never edited by hand.

    python -m tools.notebooks                       the course, into build/notebooks
    python -m tools.notebooks --execute             and run from top to bottom
    python -m tools.notebooks examples/predict.py   of other pages and scripts

A page's prompts become code cells, one for each output; what it says they print is left out, since
the notebook shows what they do print. Pictures are put into the notebook, links lead to the files
that they led to. A script's docstring and its comments between the code become text.

Needs jupytext and, to run, nbclient and ipykernel: pip install 'minicnn[notebooks]'.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import base64
import doctest
import mimetypes
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
COURSE = ROOT / "docs" / "course"
BUILD = ROOT / "build" / "notebooks"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SECONDS = 120  # that one cell may take
AT_ONCE = 2  # notebooks that are run at the same time

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
SECTION = re.compile(r"# \d+\. ")  # a comment that is a heading: "# 3. Build the model"


# -- pages ----------------------------------------------------------------------------------------


def from_markdown(path: str | Path, folder: str | Path = BUILD) -> NotebookNode:
    """The notebook of a page, to lie in `folder`: its examples are the code.

    A block without prompts is an example of nothing that could be run here, and stays text.
    """
    path = Path(path)
    cells: list[NotebookNode] = []
    for cell in jupytext.reads(path.read_text(encoding="utf-8"), fmt="md").cells:
        if cell.cell_type == "code" and ">>>" in cell.source:
            cells += _examples(cell.source)
            continue
        fenced = cell.cell_type == "code"
        text = f"```python\n{cell.source}\n```" if fenced else cell.source
        cells.append(_with_links(text, path, Path(folder)))
    return _notebook(cells)


def _examples(source: str) -> Iterator[NotebookNode]:
    """Cells that end where something is printed: a notebook shows its last expression only."""
    pending: list[str] = []
    for example in doctest.DocTestParser().get_examples(source):
        code = re.sub(r"[ \t]*# doctest:.*", "", example.source.rstrip("\n"))
        if pending and (_defines(pending[-1]) or _defines(code)):
            pending.append("")  # prompts leave no room for the usual blank line
        pending.append(code)
        if example.want:
            tags = {"tags": ["raises-exception"]} if example.exc_msg else {}
            yield new_code_cell("\n".join(pending), metadata=tags)
            pending = []
    if pending:
        yield new_code_cell("\n".join(pending))


def _defines(code: str) -> bool:
    return code.startswith(("def ", "class ", "@"))


def _with_links(text: str, page: Path, folder: Path) -> NotebookNode:
    """Text whose links lead from `folder` to where they led from `page`; pictures are inside."""
    pictures = {}

    def moved(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        name, mark, place = target.partition("#")
        file = page.parent / unquote(name)
        if picture:
            kind = mimetypes.guess_type(file.name)[0]
            pictures[file.name] = {kind: base64.b64encode(file.read_bytes()).decode("ascii")}
            return f"![{label}](attachment:{file.name})"
        if label.startswith("!["):
            label = LINK.sub(moved, label)
        if file.parent == page.parent and file.suffix == ".md" and page.parent == COURSE:
            return f"[{label}]({Path(name).with_suffix('.ipynb')}{mark}{place})"
        return f"[{label}]({Path(os.path.relpath(file, folder)).as_posix()}{mark}{place})"

    moved_text = LINK.sub(moved, text)
    return new_markdown_cell(moved_text, **({"attachments": pictures} if pictures else {}))


# -- scripts --------------------------------------------------------------------------------------


def from_script(
    path: str | Path, unroll: str | None = None, replace: Mapping[str, str] | None = None
) -> NotebookNode:
    """The notebook of a script: a cell for its imports, and for each function and class.

    Its docstring is text, and so is a comment that stands by itself. `unroll` names a function
    without arguments, such as "main", whose body comes last, line by line as if it stood outside;
    there a comment with a number, "# 3. Build the model", becomes a heading. The statements at its
    end that return are left out, and so is the script's `if __name__ == "__main__":`.

    Raises ValueError if there is no such function, or if it returns before its end.

    `replace` exchanges pieces of the script's text first, each of which has to occur.
    """
    source = Path(path).read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        if old not in source:
            raise ValueError(f"{path}: expected {old!r} to occur in it, which replace names")
        source = source.replace(old, new)
    cells, last = [], []
    for text in _top_level(source):
        tree = ast.parse(text).body
        if not tree:
            cells.append(_comment(text))
        elif isinstance(tree[0], ast.Expr) and isinstance(tree[0].value, ast.Constant):
            cells.append(new_markdown_cell(_docstring(str(tree[0].value.value))))
        elif unroll and isinstance(tree[-1], ast.FunctionDef) and tree[-1].name == unroll:
            last = list(_unrolled(text, tree[-1]))
        elif not (unroll and _is_main(tree[-1])):
            cells.append(new_code_cell(text))
    if unroll and not last:
        raise ValueError(f"{path}: expected a function {unroll} to unroll, found none")
    return _notebook(cells + last)


def _top_level(source: str) -> Iterator[str]:
    """Pieces of a module: imports together, a definition with its comments, a comment alone."""
    lines = source.splitlines()
    pieces: list[tuple[str, int, int]] = []  # kind, first line, line behind the last
    end = 0
    for node in ast.parse(source).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        for a, b in _comments(lines, end, first):
            if b == first:
                first = a
            else:
                pieces.append(("comment", a, b))
        end = node.end_lineno or first
        kind = type(node).__name__.replace("ImportFrom", "Import")
        joined = kind in ("Import", "Assign", "AnnAssign", "Expr")
        if pieces and joined and pieces[-1][0] == kind and len(pieces) > 1:
            pieces[-1] = kind, pieces[-1][1], end
        else:
            pieces.append((kind, first, end))
    pieces += [("comment", a, b) for a, b in _comments(lines, end, len(lines))]
    for _, a, b in pieces:
        yield "\n".join(lines[a:b])


def _comments(lines: Sequence[str], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The blocks of comment lines between two statements."""
    first = None
    for k in range(start, stop + 1):
        if k < stop and lines[k].lstrip().startswith("#"):
            first = k if first is None else first
        elif first is not None:
            yield first, k
            first = None


def _unrolled(text: str, function: ast.FunctionDef) -> Iterator[NotebookNode]:
    """The cells of a function's body, cut at its numbered comments."""
    body, start = list(function.body), function.lineno
    while body and _returns(body[-1]):
        body.pop()
    if any(map(_returns, body)):
        raise ValueError(f"{function.name} returns before its end, so it cannot be unrolled")
    if (told := ast.get_docstring(function)) is not None:
        yield new_markdown_cell(_docstring(told))
        start = body.pop(0).end_lineno or start
    if not body:
        return
    inside = "\n".join(text.splitlines()[start : body[-1].end_lineno])
    pending: list[str] = []
    for line in textwrap.dedent(inside).splitlines():
        if SECTION.match(line):
            yield from _code(pending)
            yield new_markdown_cell(f"## {line.removeprefix('# ')}")
            pending = []
        else:
            pending.append(line)
    yield from _code(pending)


def _returns(node: ast.AST) -> bool:
    """Whether a statement returns from the function that it stands in."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    if isinstance(node, ast.Return):
        return True
    return not isinstance(node, inner) and any(map(_returns, ast.iter_child_nodes(node)))


def _code(lines: Sequence[str]) -> Iterator[NotebookNode]:
    if text := "\n".join(lines).strip("\n"):
        yield new_code_cell(text)


def _comment(text: str) -> NotebookNode:
    return new_markdown_cell(re.sub(r"(?m)^#\s?", "", text))


def _docstring(text: str) -> str:
    """A docstring as text: its first line a heading, what is indented in it as code."""
    first, _, rest = textwrap.dedent(text).strip().partition("\n")
    return f"# {first.rstrip('.')}\n{textwrap.dedent(rest)}".rstrip()


def _is_main(node: ast.AST) -> bool:
    """Whether this is `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test)


# -- files ----------------------------------------------------------------------------------------


def _notebook(cells: Sequence[NotebookNode]) -> NotebookNode:
    """Cells with the same names each time, so that a notebook made again is the same file."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return new_notebook(cells=list(cells), metadata=metadata)


def write(notebook: NotebookNode, path: str | Path) -> Path:
    """Write the file, in folders that are made for it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    return path


def execute(*notebooks: NotebookNode, folder: str | Path = ROOT, seconds: float = SECONDS) -> None:
    """Run notebooks from top to bottom, their working directory `folder`; outputs are kept in them.

    Raises nbclient's CellExecutionError, which shows cell and traceback, for a cell that fails.
    """
    from nbclient import NotebookClient

    async def run_all() -> None:
        free = asyncio.Semaphore(AT_ONCE)

        async def run(notebook: NotebookNode) -> None:
            resources = {"metadata": {"path": str(folder)}}
            async with free:
                await NotebookClient(
                    notebook,
                    timeout=seconds,
                    kernel_name=KERNEL["name"],
                    resources=resources,
                    extra_arguments=["--log-level=ERROR"],
                ).async_execute()

        await asyncio.gather(*map(run, notebooks))

    asyncio.run(run_all())
    for notebook in notebooks:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # the times, which differ at every run


def course_pages() -> list[Path]:
    """The pages of the course in their order, and the one that lists them."""
    return sorted(COURSE.glob("*.md"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="pages (.md) and scripts (.py)")
    parser.add_argument("--execute", action="store_true", help="run each from top to bottom")
    parser.add_argument("--output", type=Path, default=BUILD, help="default: build/notebooks")
    args = parser.parse_args(arguments)
    made = {}
    for file in args.files or course_pages():
        page = file.resolve().suffix == ".md"
        notebook = from_markdown(file.resolve(), args.output) if page else from_script(file)
        made[args.output / f"{file.stem}.ipynb"] = notebook
    if args.execute:
        execute(*made.values())
    for path, notebook in made.items():
        print(write(notebook, path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
