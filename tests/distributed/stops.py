"""A callback ends evaluate and predict on rank 0 alone."""

import minicnn

minicnn.distributed.init()

from common import say, tutorial, x, y

from minicnn.callbacks import Callback

rank = minicnn.distributed.rank()


class Stops(Callback):
    """Ends on rank 0 alone."""

    def on_test_batch_end(self, batch, logs=None):
        self.model.stop_evaluating = rank == 0

    def on_predict_batch_end(self, batch, logs=None):
        self.model.stop_predicting = rank == 0


stops = Stops()
model = tutorial()
stops.set_model(model)
scores = model.evaluate(x, y, batch_size=50, verbose=0, callbacks=[stops])
predicted = len(model.predict(x, batch_size=50, verbose=0, callbacks=[stops]))
say(scores=scores, predicted=predicted)
