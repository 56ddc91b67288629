"""onnxruntime: predicts only, from the graph that `model.export` writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from benchmarks.frameworks.base import BATCHES, Framework
from benchmarks.frameworks.minicnn_ import build
from benchmarks.networks import shapes_of
from minicnn.export import onnx_bytes


class OnnxRuntime(Framework):
    def versions(self):
        return {"onnxruntime": onnxruntime.__version__}

    def load(self, model, weights):
        super().load(model, weights)
        network = build(model)
        network.set_weights(weights)
        text = onnx_bytes(network)
        self.sessions = {}
        for threads in {1, self.threads}:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            self.sessions[threads] = onnxruntime.InferenceSession(
                text, options, providers=["CPUExecutionProvider"]
            )
        self.pool = ThreadPoolExecutor(self.threads)

    def axes(self, work):
        # its own threads within a batch, or one batch on each of our threads
        return {"batch": BATCHES, "threads": ["within a batch", "a batch each"]}

    def predicting(self, x, setting):
        images = np.ascontiguousarray(x)
        batch = setting["batch"]
        within = setting["threads"] == "within a batch"
        session = self.sessions[self.threads if within else 1]
        outputs = np.empty((len(x), *shapes_of(self.model)[-1]), np.float32)

        def run(start):
            part = images[start : start + batch]
            outputs[start : start + batch] = session.run(None, {"input": part})[0]

        starts = range(0, len(x), batch)
        if within:
            return lambda: [run(start) for start in starts] and outputs
        return lambda: list(self.pool.map(run, starts)) and outputs
