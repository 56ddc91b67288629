"""What is measured from outside: whole processes, their time and their peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.worker import ROOT, environment


class ProcessError(RuntimeError):
    """A measured process failed."""


@dataclass
class Finished:
    """A process that has ended well: how long it took, its peak of resident memory, its output."""

    seconds: float
    peak_mb: float
    output: str


def run(command: list[str], **variables: str) -> Finished:
    """Run Python with the arguments `command`, from the project's folder.

    Raises
    ------
    ProcessError
        If it ends with anything but 0; holds the last lines of what it said.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(MPLBACKEND="Agg", TF_CPP_MIN_LOG_LEVEL="3", **variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().strip().splitlines()[-3:]
            raise ProcessError(f"{' '.join(command[:4])} ended with {process.returncode}: {last}")
        unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
        return Finished(seconds, usage.ru_maxrss / unit, output.read())


def inside(*arguments: str, **variables: str) -> dict[str, Any]:
    """The answer of `benchmarks.inside`, run in a fresh process."""
    finished = run(["-m", "benchmarks.inside", *arguments], **variables)
    return json.loads(finished.output.splitlines()[-1])
