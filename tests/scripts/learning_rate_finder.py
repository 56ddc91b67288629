"""A range test of the learning rate, written as a callback, and a training with what it found."""

import math

import matplotlib.pyplot as plt
import numpy as np
from tensorflow.keras import backend as K
from tensorflow.keras import callbacks, layers, models, optimizers, utils
from tensorflow.keras.datasets import fashion_mnist

utils.set_random_seed(8)


class LearningRateFinder(callbacks.Callback):
    """Raises the rate by the same factor after each batch, until the loss runs away."""

    def __init__(self, lowest, highest, steps, stop_factor=4.0):
        super().__init__()
        self.lowest, self.highest, self.steps = lowest, highest, steps
        self.stop_factor = stop_factor
        self.factor = (highest / lowest) ** (1 / (steps - 1))
        self.rates, self.losses = [], []
        self.best = math.inf

    def on_train_begin(self, logs=None):
        self.model.save_weights("before.weights.h5")
        self.rate_before = float(K.get_value(self.model.optimizer.learning_rate))
        self.model.optimizer.learning_rate.assign(self.lowest)

    def on_epoch_begin(self, epoch, logs=None):
        self.sum, self.count = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        rate = float(self.model.optimizer.learning_rate.numpy())
        # what is logged is the mean of the epoch so far
        self.count += 1
        loss = logs["loss"] * self.count - self.sum
        self.sum += loss
        self.rates.append(rate)
        self.losses.append(loss)
        self.best = min(self.best, loss)
        if loss > self.stop_factor * self.best or len(self.rates) >= self.steps:
            self.model.stop_training = True
            return
        self.model.optimizer.learning_rate.assign(rate * self.factor)

    def on_train_end(self, logs=None):
        self.model.load_weights("before.weights.h5")
        self.model.optimizer.learning_rate.assign(self.rate_before)

    def steepest(self):
        """The rate at which the smoothed loss falls fastest."""
        kernel = np.ones(5) / 5
        smooth = np.convolve(self.losses, kernel, mode="valid")
        return self.rates[int(np.argmin(np.diff(smooth))) + 2]

    def plot(self, path):
        figure, axis = plt.subplots()
        axis.semilogx(self.rates, self.losses)
        axis.set_xlabel("learning rate")
        axis.set_ylabel("loss")
        figure.savefig(path)


(x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0

model = models.Sequential(
    [
        layers.Input((28, 28, 1)),
        layers.Conv2D(8, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer=optimizers.SGD(learning_rate=0.01, momentum=0.9),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
before = model.get_weights()

finder = LearningRateFinder(1e-4, 10.0, steps=60)
history = model.fit(x_train, y_train, batch_size=16, epochs=10, callbacks=[finder], verbose=0)
print("stopped before all epochs:", len(history.epoch) < 10)
print("lowest rate:", f"{finder.rates[0]:.1e}")
growth = np.array(finder.rates[1:]) / finder.rates[:-1]
print("each rate above the last by:", f"{growth.min():.2f} to {growth.max():.2f}")
print("weights as before:", all(map(np.array_equal, before, model.get_weights())))
print("rate as before:", f"{float(model.optimizer.learning_rate):.1e}")
found = finder.steepest()
print("a rate within the range:", finder.rates[0] < found < finder.rates[-1])
finder.plot("rates.png")

model.optimizer.learning_rate = 0.03
print("rate:", f"{float(model.optimizer.learning_rate.numpy()):.1e}")
model.fit(x_train, y_train, batch_size=32, epochs=4, verbose=0)
print(f"accuracy: {model.evaluate(x_test, y_test, verbose=0)[1]:.2f}")
