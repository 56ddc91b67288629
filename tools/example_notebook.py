"""examples/fashion_mnist.ipynb: the tutorial's script as a notebook, a cell for each of its steps.

    python -m tools.example_notebook     write it; a test says when that is due

Needs pip install 'minicnn[notebooks]'.
"""

from __future__ import annotations

import tempfile

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools.notebooks import ROOT, execute, from_script, write

SCRIPT = ROOT / "examples" / "fashion_mnist.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
IN_A_NOTEBOOK = {  # what of the script is for a command line
    "return parser.parse_args()": 'return parser.parse_args([])  # as texts: ["--epochs", "3"]',
    '            print("Close the pictures\' windows to end.")\n': "",
}
FEW_IMAGES = """
from minicnn.datasets import fashion_mnist, synthetic_fashion
few = synthetic_fashion.load_data(n_train=600, n_test=200)
fashion_mnist.load_data = lambda *given: few
"""


def notebook() -> NotebookNode:
    """The notebook, not run."""
    return from_script(SCRIPT, unroll="main", replace=IN_A_NOTEBOOK)


def run_on_few_images() -> NotebookNode:
    """The notebook with its outputs, after one that gives it a few images instead of its data."""
    made = notebook()
    made.cells.insert(0, new_code_cell(FEW_IMAGES))
    with tempfile.TemporaryDirectory() as folder:
        execute(made, folder=folder)
    return made


if __name__ == "__main__":
    print(write(notebook(), NOTEBOOK))
