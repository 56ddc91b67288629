"""LeNet-5 on handwritten digits: train it, judge it, keep it in a file and read it again."""

import numpy as np
from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.datasets import mnist

keras.utils.set_random_seed(7)

num_classes = 10
input_shape = (28, 28, 1)
batch_size = 32
epochs = 3

# the data
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.astype("float32") / 255
x_test = x_test.astype("float32") / 255
x_train = np.expand_dims(x_train, -1)
x_test = np.expand_dims(x_test, -1)
print("x_train shape:", x_train.shape, x_train.dtype)
print(x_train.shape[0], "train samples")
print(x_test.shape[0], "test samples")

y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)
print("y_train shape:", y_train.shape)

# the network of 1998, with a softmax at its end
model = keras.Sequential(
    [
        keras.Input(shape=input_shape),
        layers.Conv2D(6, kernel_size=(5, 5), padding="same", activation="tanh"),
        layers.AveragePooling2D(pool_size=(2, 2)),
        layers.Conv2D(16, kernel_size=(5, 5), activation="tanh"),
        layers.AveragePooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dense(120, activation="tanh"),
        layers.Dense(84, activation="tanh"),
        layers.Dense(num_classes, activation="softmax"),
    ],
    name="lenet",
)
model.summary()
for layer in model.layers:
    print(f"{layer.name:20} {layer.output.shape!s:22} {layer.count_params()}")

model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, validation_split=0.1)
print("figures:", sorted(history.history))
print("epochs:", history.epoch)

score = model.evaluate(x_test, y_test, verbose=0)
print(f"Test loss: {score[0]:.2f}")
print(f"Test accuracy: {score[1]:.2f}")

# one picture, and a table of all
probabilities = model(x_test[:1]).numpy()
print("one picture:", probabilities.shape, "sums to", f"{probabilities.sum():.2f}")
print("kernels:", [tuple(layer.kernel.shape) for layer in model.layers if "conv" in layer.name])
predicted = model.predict(x_test, verbose=0).argmax(axis=1)
confusion = np.zeros((num_classes, num_classes), int)
np.add.at(confusion, (y_test.argmax(axis=1), predicted), 1)
print("pictures in the table:", confusion.sum())
print(f"on its diagonal: {np.trace(confusion) / confusion.sum():.2f}")

model.save("lenet.keras")
restored = keras.models.load_model("lenet.keras")
same = np.allclose(restored.predict(x_test, verbose=0), model.predict(x_test, verbose=0), atol=1e-5)
print("the same from the file:", same)
