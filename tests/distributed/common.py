"""What the scripts share. pytest collects none of them."""

import hashlib
import json
import sys

import numpy as np

import minicnn
from minicnn.engine import shards
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    RandomFlip,
    RandomRotation,
    ReLU,
)

shards.SMALL = 0  # else a batch of these small models is one shard, and all ranks but one idle

rng = np.random.default_rng(0)
x = rng.random((300, 12, 12, 1), dtype=np.float32)
y = rng.integers(0, 10, len(x))


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def say(**what):
    line = json.dumps({"rank": minicnn.distributed.rank(), **what})
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def model(*layers, optimizer="adam", **compiled):
    network = minicnn.Sequential([Input((12, 12, 1)), *layers])
    network.compile(optimizer, "sparse_categorical_crossentropy", **compiled)
    return network


def tutorial(**compiled):
    return model(
        Conv2D(8, 3, activation="relu"), MaxPooling2D(), Dropout(0.25), Flatten(),
        Dense(16, activation="relu"), Dropout(0.5), Dense(10, activation="softmax"),
        **{"metrics": ["accuracy"], **compiled},
    )  # fmt: skip


def normalized(**compiled):
    return model(
        RandomFlip("horizontal"), RandomRotation(0.1), Conv2D(8, 3), BatchNormalization(), ReLU(),
        MaxPooling2D(), Conv2D(8, 3, activation="relu"), BatchNormalization(), Flatten(),
        Dense(10, activation="softmax"), **{"metrics": ["accuracy"], **compiled},
    )  # fmt: skip
