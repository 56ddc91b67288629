"""Rank 1 of several fails in one of some ways."""

import os
import signal
import sys
import time

import minicnn

minicnn.distributed.init()

import numpy as np
from common import say, tutorial, x, y

from minicnn.callbacks import Callback
from minicnn.utils import PyDataset

(way,) = sys.argv[1:]
rank = minicnn.distributed.rank()
model = tutorial()
model.fit(x, y, batch_size=96, verbose=0)


def fail():
    if rank == 1:
        say(**{"fails at": time.time()})
        if way == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if way.startswith("exits"):
            sys.exit(3)
        raise ValueError("of rank 1 alone")


class Fails(Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            fail()


class Items(PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 4:
            fail()
        return x[:96], y[:96]


if way in ("raises in the script", "exits in the script"):
    fail()
    model.fit(x, y, epochs=1000, verbose=0)
elif way == "raises and catches it":
    try:
        model.fit(x, y, epochs=1000, callbacks=[Fails()], verbose=0)
    except ValueError:
        time.sleep(60)
elif way == "raises in a data set":
    model.fit(Items(workers=0), epochs=1000, shuffle=False, verbose=0)
elif way == "has a NaN in its share":
    say(**{"fails at": time.time()})
    model.layers[-1].params["b"][...] = np.float32(np.nan)
    model.fit(x, y, epochs=1000, verbose=0)
elif way == "waits for ctrl-c":
    say(**{"fails at": time.time()})
    model.fit(x, y, epochs=100_000, verbose=0)
else:
    model.fit(x, y, epochs=1000, callbacks=[Fails()], verbose=0)
