"""Notebooks are made from pages and scripts, and run."""

import ast
import base64
import re

import pytest

pytest.importorskip("jupytext", reason="notebooks need jupytext")
pytest.importorskip("nbformat", reason="notebooks need nbformat")

from tools import notebooks

PAGE = """# Title

![A picture](images/small.png) and [the layer](../../minicnn/layers/dense.py#L3), a
[site](https://example.org/a) and [![both](images/small.png)](../up.md).

```python
>>> import numpy as np
>>> for k in range(2):
...     print(k)  # doctest: +ELLIPSIS
0
1
>>> 1 / 0
Traceback (most recent call last):
ZeroDivisionError: division by zero
>>> rest = 3
>>> def f():
...     return rest
>>> rest = f()

```

```python
not_run_here()
```
"""

SCRIPT = '''"""What it does.

    python script.py

More words.
"""

import os
import sys

NAMES = ["a"]
SIZE = 3


# above its function
def helper():
    return 1


# -- alone

# also alone

def main() -> int:
    """Run all."""
    started = arguments()

    # 1. Load it
    x = helper()  # as a number
    # more
    if x:
        print(x)

    # 2. Use it
    print(started, x)
    if x < 0:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "docs" / "course"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "small.png").write_bytes(b"\x89PNG small")
    (folder / "1-first.md").write_text(PAGE)
    return folder / "1-first.md"


def test_a_page_becomes_text_and_a_cell_for_each_output(page, tmp_path):
    notebook = notebooks.from_markdown(page, tmp_path / "build")
    text, *code, plain = cells(notebook)
    assert code == [
        ("code", "import numpy as np\nfor k in range(2):\n    print(k)"),
        ("code", "1 / 0"),
        ("code", "rest = 3\n\ndef f():\n    return rest\n\nrest = f()"),
    ]
    assert notebook.cells[2].metadata.tags == ["raises-exception"]
    assert plain == ("markdown", "```python\nnot_run_here()\n```")
    assert text[1].startswith("# Title\n")


def test_links_lead_to_the_same_files_and_pictures_are_inside(page, tmp_path):
    first = notebooks.from_markdown(page, tmp_path / "build").cells[0]
    assert "![A picture](attachment:small.png)" in first.source
    assert "[the layer](../minicnn/layers/dense.py#L3)" in first.source
    assert "[site](https://example.org/a)" in first.source
    assert "[![both](attachment:small.png)](../docs/up.md)" in first.source
    assert base64.b64decode(first.attachments["small.png"]["image/png"]) == b"\x89PNG small"


def test_pages_of_the_course_lead_to_each_others_notebooks(page, tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "COURSE", page.parent)
    page.write_text("[next](2-next.md#there), [elsewhere](../design.md)")
    first = notebooks.from_markdown(page, tmp_path / "build").cells[0]
    assert first.source == "[next](2-next.ipynb#there), [elsewhere](../docs/design.md)"


def test_a_script_is_cut_at_its_definitions_and_lone_comments(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    kinds = cells(notebooks.from_script(path))
    assert kinds[:6] == [
        ("markdown", "# What it does\n\n    python script.py\n\nMore words."),
        ("code", "import os\nimport sys"),
        ("code", 'NAMES = ["a"]\nSIZE = 3'),
        ("code", "# above its function\ndef helper():\n    return 1"),
        ("markdown", "-- alone"),
        ("markdown", "also alone"),
    ]
    assert kinds[6][1].startswith("def main()")
    assert kinds[7:] == [("code", 'if __name__ == "__main__":\n    sys.exit(main())')]


def test_main_is_unrolled_under_the_headings_of_its_comments(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    notebook = notebooks.from_script(path, "main", {"arguments()": "'now'"})
    assert cells(notebook)[6:] == [
        ("markdown", "# Run all"),
        ("code", "started = 'now'"),
        ("markdown", "## 1. Load it"),
        ("code", "x = helper()  # as a number\n# more\nif x:\n    print(x)"),
        ("markdown", "## 2. Use it"),
        ("code", "print(started, x)"),
    ]


def test_what_cannot_be_unrolled_or_replaced_is_refused(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("def main():\n    if early:\n        return 1\n    print(2)\n")
    with pytest.raises(ValueError, match="returns before its end"):
        notebooks.from_script(path, "main")
    with pytest.raises(ValueError, match="a function other to unroll"):
        notebooks.from_script(path, "other")
    with pytest.raises(ValueError, match="'nowhere' to occur"):
        notebooks.from_script(path, replace={"nowhere": ""})


def test_a_notebook_that_is_made_again_is_the_same_file(page, tmp_path):
    made = [
        notebooks.write(notebooks.from_markdown(page), tmp_path / "new" / name).read_bytes()
        for name in ("a.ipynb", "b.ipynb")
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("path", notebooks.course_pages(), ids=lambda path: path.stem)
def test_every_page_of_the_course_becomes_a_notebook_of_cells_that_compile(path):
    made = notebooks.from_markdown(path)
    notebooks.nbformat.validate(made)
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert code
    for source in code:
        ast.parse(source)
        assert ">>>" not in source
    text = "".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert "](images/" not in text
    for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
        assert target.endswith(".ipynb") or (notebooks.BUILD / target).resolve().exists(), target


@pytest.mark.slow
def test_notebooks_are_run_from_top_to_bottom(page, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = notebooks.from_markdown(page)
    other = notebooks.from_markdown(page)
    del other.cells[2]  # the error that is part of the page
    notebooks.execute(notebook, other, folder=tmp_path)
    assert notebook.cells[1].outputs[0].text == "0\n1\n"
    assert notebook.cells[2].outputs[0].ename == "ZeroDivisionError"
    other.cells[1].source = "undefined"
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="undefined"):
        notebooks.execute(other, folder=tmp_path)
