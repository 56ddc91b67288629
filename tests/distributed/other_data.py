"""Each rank shuffles in its own way, for the call that is named."""

import sys

import minicnn

minicnn.distributed.init()

import numpy as np
from common import tutorial, x, y

order = np.random.default_rng(minicnn.distributed.rank()).permutation(len(x))
model, other = tutorial(), (x[order], y[order])
if sys.argv[1] == "fit":
    model.fit(*other, verbose=0)
elif sys.argv[1] == "validation":
    model.fit(x, y, validation_data=other, verbose=0)
elif sys.argv[1] == "evaluate":
    model.evaluate(*other, verbose=0)
else:
    model.predict(other[0], verbose=0)
