"""A run that dies in its third epoch, or goes on."""

import os
import signal
import sys

import minicnn

minicnn.distributed.init()

from common import digest, normalized, say, x, y

from minicnn.callbacks import BackupAndRestore, Callback
from minicnn.utils import set_random_seed

set_random_seed(5)
folder, *die = sys.argv[1:]


class Epochs(Callback):
    def __init__(self):
        self._here = 0

    def get_state(self):
        return {}

    def on_epoch_end(self, epoch, logs=None):
        self._here += 1

    def on_train_batch_end(self, batch, logs=None):
        if die and self._here == 2 and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


epochs = Epochs()
model = normalized()
history = model.fit(
    x, y, batch_size=96, epochs=4, verbose=0, callbacks=[epochs, BackupAndRestore(folder)]
)
say(
    weights=digest(*model.get_weights()),
    history=history.history,
    **{"epochs here": epochs._here},
)
