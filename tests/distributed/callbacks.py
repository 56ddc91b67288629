"""What callbacks do on rank 0 alone, and what they decide for all."""

import minicnn

minicnn.distributed.init()

from common import say, tutorial, x, y

from minicnn.callbacks import Callback, CSVLogger, ModelCheckpoint

rank = minicnn.distributed.rank()


class Clock(Callback):
    """Each rank would end at another time."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.001 * (1 + rank)
        self.model.stop_training = epoch == (2 if rank == 0 else 0)


class Writes(Callback):
    writes = True
    hooks = 0

    def on_epoch_end(self, epoch, logs=None):
        self.hooks += 1
        self.model.predict(x[:40], verbose=0)  # no other rank waits for it


writes = Writes()
model = tutorial()
history = model.fit(
    x, y, batch_size=64, epochs=6, verbose=0,
    callbacks=[Clock(), writes, CSVLogger("log.csv"), ModelCheckpoint("best.keras", "loss")],
)  # fmt: skip
model.save("saved.keras")
print("said once")
say(
    epochs=len(history.epoch),
    rate=model.optimizer.learning_rate,
    **{"hooks of the callback that writes": writes.hooks},
)
