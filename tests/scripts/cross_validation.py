"""Folds: the same network trained on all data but a part, for each part; then on all of it."""

import json

import numpy as np
from keras import Input, Sequential, layers, models, optimizers, utils
from keras.backend import clear_session
from keras.callbacks import EarlyStopping, LambdaCallback
from keras.datasets import mnist

utils.set_random_seed(10)


def build_model():
    model = Sequential(
        [
            Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.SeparableConv2D(8, 3, strides=2, activation="relu"),
            layers.BatchNormalization(momentum=0.8),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=optimizers.Adam(learning_rate=0.005),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


(data, labels), (test_data, test_labels) = mnist.load_data()
data, test_data = data / 255, test_data / 255

k = 3
size = len(data) // k
seen = []
curves = []
for i in range(k):
    clear_session()
    part = slice(i * size, (i + 1) * size)
    rest = np.r_[0 : i * size, (i + 1) * size : len(data)]
    model = build_model()
    history = model.fit(
        data[rest],
        labels[rest],
        validation_data=(data[part], labels[part]),
        epochs=4,
        batch_size=32,
        verbose=0,
        callbacks=[
            LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, sorted(logs)))),
            EarlyStopping(monitor="loss", patience=20),
        ],
    )
    curves.append(history.history["val_accuracy"])
    print(f"fold {i}: {len(rest)} and {size} pictures, {model.name}, {model.layers[1].name}")
print("hooks:", len(seen), "the last:", seen[-1])
mean = np.mean(curves, axis=0)
print("curve:", mean.shape, f"at its end {mean[-1]:.2f}")

# all of it, batch by batch
clear_session()
final = build_model()
for _ in range(4):
    order = np.random.permutation(len(data))
    for start in range(0, len(data), 32):
        chosen = order[start : start + 32]
        figures = final.train_on_batch(data[chosen], labels[chosen], return_dict=True)
print("of a batch:", sorted(figures))
figures = final.test_on_batch(test_data[:50], test_labels[:50])
print("figures of a test:", len(figures))
print(f"accuracy: {final.evaluate(test_data, test_labels, verbose=0)[1]:.2f}")
print("one picture:", final.predict_on_batch(test_data[:1]).shape)

# the network as text, and a copy with the same weights
text = final.to_json()
print("layers in the text:", len(json.loads(text)["config"]["layers"]))
twin = models.model_from_json(text)
twin.set_weights(final.get_weights())
clone = models.clone_model(final)
clone.set_weights(twin.get_weights())
same = np.allclose(clone.predict(test_data, verbose=0), final.predict(test_data, verbose=0))
print("the copy predicts the same:", same)
