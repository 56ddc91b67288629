"""What runs inside the short processes that `processes.py` starts; prints one JSON line.

python -m benchmarks.inside import minicnn
python -m benchmarks.inside first-step minicnn tutorial
python -m benchmarks.inside predict-memory deeper 60000 float32
"""

from __future__ import annotations

import importlib
import json
import sys
import time


def import_time(package: str) -> dict[str, float]:
    """Seconds that `import package` takes in this fresh interpreter."""
    start = time.perf_counter()
    importlib.import_module(package)
    return {"seconds": time.perf_counter() - start}


def first_step(framework: str, model: str) -> dict[str, float]:
    """Seconds from the end of the imports to the end of the first training step, and the second."""
    import numpy as np

    from benchmarks.networks import MODELS

    module = importlib.import_module(f"benchmarks.frameworks.{framework}_")
    rng = np.random.default_rng(0)
    x = rng.random((128, 28, 28, 1), np.float32)
    y = rng.integers(0, 10, 128)
    start = time.perf_counter()
    network = module.build(MODELS[model])
    network.train_on_batch(x, y)
    first = time.perf_counter()
    network.train_on_batch(x, y)
    return {"seconds": first - start, "second": time.perf_counter() - first}


def predict_memory(model: str, images: str, dtype: str) -> dict[str, float]:
    """MB of memory that predict needs at its peak, beyond what it is given and what it returns."""
    import numpy as np

    from benchmarks.frameworks.minicnn_ import build
    from benchmarks.networks import MODELS

    network = build(MODELS[model])
    x = np.ones((int(images), 28, 28, 1), dtype)
    network.predict(x[:512], batch_size=128, verbose=0)  # kernels and threads are there from here
    before = forget_peak()
    y = network.predict(x, batch_size=128, verbose=0)
    return {"mb": memory("VmHWM") - before - y.nbytes / 2**20}


def forget_peak() -> float:
    """Let the peak of memory begin anew at the present size, in MB; Linux only."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")


def memory(key: str) -> float:
    """A size of this process in MB, as Linux tells it: VmRSS is now, VmHWM the peak."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
    raise OSError(f"no {key} in /proc/self/status")


if __name__ == "__main__":
    tasks = {"import": import_time, "first-step": first_step, "predict-memory": predict_memory}
    print(json.dumps(tasks[sys.argv[1]](*sys.argv[2:])))
