"""A trained network's features for another task: a new head first, then a finer training of all."""

import keras
import numpy as np
from keras import layers
from keras.datasets import cifar10
from keras.optimizers import Adam

keras.utils.set_random_seed(6)

(x, y), (x_test, y_test) = cifar10.load_data()
x, x_test = x.astype("float32"), x_test.astype("float32")
y, y_test = y.ravel(), y_test.ravel()

# the task that the base is trained on: the first six classes
old, old_test = y < 6, y_test < 6
base = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv_1"),
        layers.BatchNormalization(momentum=0.8, name="norm_1"),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv_2"),
        layers.BatchNormalization(momentum=0.8, name="norm_2"),
        layers.GlobalAveragePooling2D(),
    ],
    name="base",
)
whole = keras.Sequential([base, layers.Dense(6, activation="softmax")])
whole.compile(Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
whole.fit(x[old], y[old], epochs=6, batch_size=32, verbose=0)
print(f"six classes: {whole.evaluate(x_test[old_test], y_test[old_test], verbose=0)[1]:.1f}")
base.save_weights("base.weights.h5")

# the new task: the other four, with few pictures
new, new_test = y >= 6, y_test >= 6
x_new, y_new = x[new][:100], y[new][:100] - 6
base.trainable = False
model = keras.Sequential(
    [
        base,
        layers.Dropout(0.1),
        layers.Dense(4, activation="softmax", name="head"),
    ]
)
model.build((None, 32, 32, 3))
model.summary()
print("to train:", [weight.name for weight in model.trainable_variables])
print("frozen:", len(model.non_trainable_weights))

frozen = [array.copy() for array in base.get_weights()]
model.compile(
    optimizer=Adam(learning_rate=0.02),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(x_new, y_new, epochs=10, batch_size=20, verbose=0)
unchanged = all(np.array_equal(a, b) for a, b in zip(frozen, base.get_weights()))
print("the base is unchanged:", unchanged)
print(f"four classes: {model.evaluate(x_test[new_test], y_test[new_test] - 6, verbose=0)[1]:.1f}")

# all but the first convolution may change now, slowly; normalization stays as it is
base.trainable = True
for layer in base.layers:
    if layer.name == "conv_1" or isinstance(layer, layers.BatchNormalization):
        layer.trainable = False
print("to train:", [weight.name for weight in model.trainable_variables])
model.compile(Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
print(f"rate: {float(model.optimizer.learning_rate.numpy()):.1e}")
model.fit(x_new, y_new, epochs=13, initial_epoch=10, batch_size=20, verbose=0)
changed = [
    layer.name
    for layer, (kernel, *_) in [(layer, layer.get_weights()) for layer in base.layers[1:-1]]
    if not any(np.array_equal(kernel, array) for array in frozen)
]
print("changed:", changed)
print(f"after that: {model.evaluate(x_test[new_test], y_test[new_test] - 6, verbose=0)[1]:.1f}")

# and back to where it was
base.load_weights("base.weights.h5")
print("as before:", all(np.array_equal(a, b) for a, b in zip(frozen, base.get_weights())))
