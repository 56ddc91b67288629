"""Learning rates that differ between ranks before a step: rank 0's counts."""

import minicnn

minicnn.distributed.init()

from common import digest, say, tutorial, x, y

from minicnn.callbacks import Callback

rank = minicnn.distributed.rank()


class Rates(Callback):
    def __init__(self, *hooks):
        for hook in hooks:
            setattr(self, hook, self.change)

    def change(self, *_):
        self.model.optimizer.learning_rate = 0.01 * (1 + rank)


class Writes(Callback):
    writes = True

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.02


found = []
for callbacks in (
    [], [Rates("on_train_begin")], [Rates("on_epoch_begin")], [Rates("on_train_batch_begin")],
    [Writes()],
):  # fmt: skip
    minicnn.utils.set_random_seed(1)
    model = tutorial()
    model.optimizer.learning_rate = 0.003 * (1 + rank)
    model.fit(x, y, batch_size=100, verbose=0, callbacks=callbacks)
    found.append(digest(*model.get_weights()))
say(weights=found)
