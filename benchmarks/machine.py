"""What this machine is, and what it can do at best."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.worker import ROOT


def describe(threads: int) -> dict[str, Any]:
    """Processor, cores, memory, system and how busy it is already; no names, no addresses."""
    return {
        "processor": _processor(),
        "cores used": threads,
        "cores": os.cpu_count(),
        "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str:
    """The commit that is measured, with "+ changes" where the sources differ from it."""

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return result.stdout.strip()

    try:
        name = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--", "minicnn", "benchmarks", "examples")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} + changes" if changed else name


def limits(threads: int, megabytes: int = 256) -> dict[str, dict[str, float]]:
    """Best of several: GFLOP/s of NumPy's float32 matrix product, GB/s of copying memory.

    Copying counts what is read and what is written, on arrays too large for the caches.
    """
    result: dict[str, dict[str, float]] = {}
    for n in sorted({1, threads}):
        result[str(n)] = {"gflops": sgemm(n), "gbytes": copying(n, megabytes)}
    return result


def sgemm(threads: int, size: int = 1536) -> float:
    import numpy as np
    from threadpoolctl import threadpool_limits

    a, b, c = (np.ones((size, size), np.float32) for _ in range(3))
    with threadpool_limits(threads, user_api="blas"):
        return 2e-9 * size**3 / _fastest(lambda: np.matmul(a, b, out=c))


def copying(threads: int, megabytes: int = 256) -> float:
    import numpy as np

    parts = threads * 4
    source = np.ones((parts, megabytes * 2**18 // parts), np.float32)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> None:
            list(pool.map(lambda k: np.copyto(target[k], source[k]), range(parts)))

        return 2e-9 * source.nbytes / _fastest(copy)


def _fastest(call: Any, times: int = 6) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
