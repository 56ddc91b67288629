"""Run a script with `minicnn.distributed.init()` called before it.

mpiexec -n 4 python -m minicnn.distributed train.py its arguments
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from minicnn import distributed


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: mpiexec -n 4 python -m minicnn.distributed SCRIPT [ARGUMENTS]")
    del sys.argv[0]
    distributed.init()
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
