"""A competition's digits: pictures in a CSV file, varied by ImageDataGenerator, rates that fall."""

import csv

import numpy as np
from tensorflow.keras.callbacks import LearningRateScheduler, ReduceLROnPlateau
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPool2D
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import RMSprop
from tensorflow.keras.preprocessing.image import ImageDataGenerator
from tensorflow.keras.utils import set_random_seed, to_categorical

set_random_seed(2)

# the files of the competition: a label and 784 pixels a row, and pixels alone
(x_known, y_known), (x_asked, y_asked) = mnist.load_data()
x_known, y_known = x_known[:500], y_known[:500]
np.savetxt(
    "train.csv",
    np.column_stack([y_known, x_known.reshape(len(x_known), -1)]),
    fmt="%d",
    delimiter=",",
    header="label," + ",".join(f"pixel{i}" for i in range(784)),
    comments="",
)
np.savetxt("test.csv", x_asked.reshape(len(x_asked), -1), fmt="%d", delimiter=",")

# read them
train = np.loadtxt("train.csv", delimiter=",", skiprows=1)
test = np.loadtxt("test.csv", delimiter=",")
print("train:", train.shape, "test:", test.shape)
x, y = train[:, 1:], train[:, 0]
print("missing:", bool(np.isnan(x).any()))
x = x.reshape(-1, 28, 28, 1) / 255.0
test = test.reshape(-1, 28, 28, 1) / 255.0
y = to_categorical(y, num_classes=10)
x_train, x_val, y_train, y_val = x[:400], x[400:], y[:400], y[400:]

# pictures are turned, zoomed and moved a little
datagen = ImageDataGenerator(
    featurewise_center=False,
    samplewise_center=False,
    rotation_range=5,
    zoom_range=0.05,
    width_shift_range=0.05,
    height_shift_range=0.05,
    horizontal_flip=False,
    vertical_flip=False,
)
datagen.fit(x_train)
flow = datagen.flow(x_train, y_train, batch_size=40, seed=5)
print("batches of an epoch:", len(flow))
x_batch, y_batch = next(flow)
print("a batch:", x_batch.shape, x_batch.dtype, y_batch.shape)

model = Sequential()
model.add(
    Conv2D(
        filters=8, kernel_size=(5, 5), padding="Same", activation="relu", input_shape=(28, 28, 1)
    )
)
model.add(MaxPool2D(pool_size=(2, 2)))
model.add(Conv2D(filters=16, kernel_size=(3, 3), padding="Same", activation="relu"))
model.add(MaxPool2D(pool_size=(2, 2), strides=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(64, activation="relu"))
model.add(Dropout(0.25))
model.add(Dense(10, activation="softmax"))
model.compile(
    optimizer=RMSprop(learning_rate=0.002, rho=0.9, epsilon=1e-08),
    loss="categorical_crossentropy",
    metrics=["accuracy"],
)

# first, the rate by the number of the epoch
schedule = LearningRateScheduler(lambda epoch: 2e-3 * 0.8**epoch, verbose=0)
history = model.fit(
    datagen.flow(x_train, y_train, batch_size=40),
    steps_per_epoch=len(x_train) // 40,
    epochs=3,
    validation_data=(x_val, y_val),
    verbose=2,
    callbacks=[schedule],
)
print("rates:", [f"{rate:.2e}" for rate in history.history["learning_rate"]])

# then, halved where the figure can get no better
reduction = ReduceLROnPlateau(
    monitor="val_accuracy",
    patience=1,
    verbose=1,
    factor=0.5,
    min_lr=5e-4,
    min_delta=1.0,
    mode="max",
)
history = model.fit(
    datagen.flow(x_train, y_train, batch_size=40),
    epochs=7,
    initial_epoch=3,
    validation_data=(x_val, y_val),
    verbose=2,
    callbacks=[reduction],
)
print("epochs:", history.epoch)
print("rates:", [f"{rate:.2e}" for rate in history.history["learning_rate"]])
print(f"accuracy at the end: {model.evaluate(x_val, y_val, verbose=0)[1]:.2f}")

# the answers
labels = np.argmax(model.predict(test), axis=1)
with open("submission.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["ImageId", "Label"])
    writer.writerows(enumerate(labels, start=1))
print("answers:", len(labels), f"right: {np.mean(labels == y_asked):.2f}")
