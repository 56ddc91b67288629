"""Which items of a data set a rank asks for, and how much of a file it reads."""

import tempfile
from pathlib import Path

import minicnn

minicnn.distributed.init()

import numpy as np
from common import say, tutorial, x, y

from minicnn.utils import PyDataset

asked = []


class Items(PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        asked.append(index)
        return x[:32] + index / 100, y[:32]


def resident(array):
    """The part of the mapped pages that are in memory."""
    size, present = 0, 0
    name = Path(array.filename).name
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if name in line:
            inside = True
        elif inside and line.startswith("Size:"):
            size += int(line.split()[1])
        elif inside and line.startswith("Rss:"):
            present, inside = present + int(line.split()[1]), False
    return present / size


model = tutorial()
model.fit(x[:64], y[:64], batch_size=32, verbose=0)  # kernels are there
data = Items(workers=0)
model.fit(data, shuffle=False, verbose=0)
asked.sort()
asked.remove(0)  # all have to know what the model is built for

wide = 4096  # numbers of an image are pages of their own
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / f"images{minicnn.distributed.rank()}.npy"
    np.lib.format.open_memmap(file, "w+", np.float32, (256, wide))[...] = 0.5
    images = np.load(file, mmap_mode="r")
    network = minicnn.Sequential([minicnn.Input((wide,)), minicnn.layers.Dense(10)])
    network.compile("sgd", "mse")
    network.fit(images, np.zeros((256, 10)), batch_size=256, shuffle=False, verbose=0)
    part = resident(images)
say(items=asked, **{"pages of the memmap": part})
