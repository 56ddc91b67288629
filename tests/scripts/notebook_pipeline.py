"""A notebook's way: look at the data, split, normalize, encode, and batch by a generator."""

import matplotlib.pyplot as plt
import numpy as np
from keras.callbacks import Callback, CSVLogger
from keras.datasets import fashion_mnist
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPool2D
from keras.models import Sequential
from keras.utils import PyDataset, set_random_seed, to_categorical

set_random_seed(3)

# %% look at the data
(x_all, y_all), (x_test, y_test) = fashion_mnist.load_data()
names = ["top", "trouser", "pullover", "dress", "coat"]
names += ["sandal", "shirt", "sneaker", "bag", "boot"]
print("pictures:", x_all.shape, x_all.dtype, "from", x_all.min(), "to", x_all.max())
for label, count in zip(*np.unique(y_all, return_counts=True)):
    print(f"  {names[label]:10} {count}")

figure, axes = plt.subplots(2, 5, figsize=(8, 4))
for axis, image, label in zip(axes.flat, x_all, y_all):
    axis.imshow(image, cmap="gray")
    axis.set_title(names[label])
    axis.axis("off")
figure.savefig("pictures.png")

# %% shuffle and split
rng = np.random.default_rng(0)
order = rng.permutation(len(x_all))
n_val = len(order) // 5
x_val, y_val = x_all[order[:n_val]], y_all[order[:n_val]]
x_train, y_train = x_all[order[n_val:]], y_all[order[n_val:]]
print("split:", len(x_train), len(x_val), len(x_test))

# %% normalize by the training pictures alone
mean, deviation = x_train.mean(), x_train.std()
print(f"mean {mean / 255:.2f}, deviation {deviation / 255:.2f}")


def prepared(x, y):
    x = ((x - mean) / deviation).astype("float32")
    return x.reshape(-1, 28, 28, 1), to_categorical(y, 10)


x_test, y_test = prepared(x_test, y_test)


# %% batches
def batches(x, y, size):
    """Batches without end, in a new order each time."""
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - size + 1, size):
            chosen = order[start : start + size]
            yield prepared(x[chosen], y[chosen])


class Validation(PyDataset):
    """The same pictures in each epoch."""

    def __init__(self, x, y, size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return int(np.ceil(len(self.x) / self.size))

    def __getitem__(self, index):
        part = slice(index * self.size, (index + 1) * self.size)
        return prepared(self.x[part], self.y[part])


class Report(Callback):
    """One line an epoch, as a notebook likes it."""

    def on_train_begin(self, logs=None):
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1

    def on_epoch_end(self, epoch, logs=None):
        better = logs["val_accuracy"] > 0.2
        print(f"epoch {epoch + 1}: {self.seen} batches so far, better than chance: {better}")


train = batches(x_train, y_train, 32)
x, y = next(train)
print("a batch:", x.shape, x.dtype, y.shape)

# %% the model
model = Sequential()
model.add(Input(shape=(28, 28, 1)))
model.add(Conv2D(8, (3, 3), activation="relu"))
model.add(MaxPool2D((2, 2)))
model.add(Conv2D(16, (3, 3), activation="relu"))
model.add(MaxPool2D((2, 2)))
model.add(Flatten())
model.add(Dropout(0.25))
model.add(Dense(10, activation="softmax"))
model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])

validation = Validation(x_val, y_val, 50, workers=2)
print("batches of the validation:", len(validation))
history = model.fit(
    train,
    steps_per_epoch=len(x_train) // 32,
    epochs=4,
    validation_data=validation,
    callbacks=[Report(), CSVLogger("log.csv")],
    verbose=0,
)

# %% curves
plt.figure()
for name in ("loss", "val_loss"):
    plt.plot(history.history[name], label=name)
plt.legend()
plt.savefig("curves.png")
with open("log.csv") as log:
    print("header:", log.readline().strip())
    print("rows:", len(log.readlines()))

# %% the test
loss, accuracy = model.evaluate(x_test, y_test, batch_size=100, verbose=0)
print(f"test accuracy: {accuracy:.2f}")
by_generator = model.evaluate(batches(x_val, y_val, 20), steps=3, verbose=0)
print(f"on three batches of a generator: {by_generator[1]:.2f}")
probabilities = model.predict(validation, verbose=0)
print("predicted:", probabilities.shape, probabilities.dtype)
