"""The loss after an epoch, with gradients summed by the tree or by MPI."""

import sys

import minicnn

minicnn.distributed.init(exact="exact" in sys.argv)

from common import say, tutorial, x, y

from minicnn.utils import set_random_seed

set_random_seed(1)
history = tutorial().fit(x, y, batch_size=100, verbose=0)
say(loss=history.history["loss"][-1])
