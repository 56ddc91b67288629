"""onnxruntime: predicts only. The graph is put together by hand, so no exporter is needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.frameworks.base import BATCHES, Framework
from benchmarks.networks import channels_first, layers_of


def graph(model, weights) -> onnx.ModelProto:
    """The `model` with minicnn's `weights`; images (N, 1, H, W) in, probabilities out."""
    arrays = iter(channels_first(weights, model))
    nodes, tensors = [], []
    name = "x"
    steps = layers_of(model)

    def add(kind, *inputs, **attributes):
        nonlocal name
        result = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, [name, *inputs], [result], **attributes))
        name = result

    def tensor(array):
        key = f"w_{len(tensors)}"
        tensors.append(numpy_helper.from_array(array, key))
        return key

    for place, step in enumerate(steps):
        if step[0] == "conv":
            pads = [1 if step[2] == "same" else 0] * 4
            add("Conv", tensor(next(arrays)), tensor(next(arrays)), kernel_shape=[3, 3], pads=pads)
            add("Relu")
        elif step[0] == "pool":
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        elif step[0] == "flatten":
            add("Flatten", axis=1)
        elif step[0] == "dense":
            add("Gemm", tensor(next(arrays)), tensor(next(arrays)), transB=1)
            add("Relu" if place < len(steps) - 1 else "Softmax")
    size = model["size"]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, size, size])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 10])]
    return helper.make_model(
        helper.make_graph(nodes, model["kind"], inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


class OnnxRuntime(Framework):
    def versions(self):
        return {"onnxruntime": onnxruntime.__version__}

    def load(self, model, weights):
        super().load(model, weights)
        text = graph(model, weights).SerializeToString()
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
        images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        batch = setting["batch"]
        within = setting["threads"] == "within a batch"
        session = self.sessions[self.threads if within else 1]
        outputs = np.empty((len(x), 10), np.float32)

        def run(start):
            part = images[start : start + batch]
            outputs[start : start + batch] = session.run(None, {"x": part})[0]

        starts = range(0, len(x), batch)
        if within:
            return lambda: [run(start) for start in starts] and outputs
        return lambda: list(self.pool.map(run, starts)) and outputs
