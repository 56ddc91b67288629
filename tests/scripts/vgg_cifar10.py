"""A small VGG on CIFAR-10: augmentation as layers, checkpoints, a rate that falls."""

import os

import keras
from keras import layers, regularizers
from keras.callbacks import ModelCheckpoint
from keras.datasets import cifar10
from keras.optimizers import SGD
from keras.optimizers.schedules import CosineDecay

keras.utils.set_random_seed(1)

BATCH_SIZE = 32
EPOCHS = 6
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
print("training", x_train.shape, y_train.shape, x_train.dtype)
print("test    ", x_test.shape, y_test.shape)
print("first labels:", [CLASSES[int(label)] for label in y_train[:6, 0]])

augmentation = keras.Sequential(
    [
        layers.RandomTranslation(0.05, 0.05, fill_mode="nearest"),
        layers.RandomZoom((-0.1, 0.1)),
        layers.RandomContrast(0.1),
    ],
    name="augmentation",
)


def block(filters, repeats, rate):
    """Convolutions of 3x3, each normalized before its ReLU, and a pool."""
    stack = []
    for _ in range(repeats):
        stack += [
            layers.Conv2D(
                filters,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                kernel_regularizer=regularizers.l2(1e-4),
            ),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
        ]
    return [*stack, layers.MaxPooling2D(), layers.Dropout(rate)]


model = keras.models.Sequential()
model.add(keras.Input((32, 32, 3)))
model.add(augmentation)
model.add(layers.Rescaling(1.0 / 127.5, offset=-1))
for filters, repeats, rate in [(8, 1, 0.0), (16, 2, 0.1)]:
    for layer in block(filters, repeats, rate):
        model.add(layer)
model.add(layers.GlobalAveragePooling2D())
model.add(layers.Dense(10))
model.summary()
print("parameters:", model.count_params())
print("weights:", len(model.trainable_weights), "and", len(model.non_trainable_weights))

# what the augmentation makes of one picture
varied = augmentation(x_train[:1].astype("float32"), training=True)
print("varied:", tuple(varied.shape))

n_val = 100
steps = (len(x_train) - n_val) // BATCH_SIZE
model.compile(
    optimizer=SGD(CosineDecay(0.1, EPOCHS * steps), momentum=0.9, nesterov=True),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=3, name="top3")],
)

checkpoints = [
    ModelCheckpoint("best.keras", monitor="val_accuracy", mode="max", save_best_only=True),
    ModelCheckpoint("weights/{epoch:02d}.weights.h5", save_weights_only=True),
]
history = model.fit(
    x_train[n_val:],
    y_train[n_val:],
    batch_size=BATCH_SIZE,
    epochs=EPOCHS,
    validation_data=(x_train[:n_val], y_train[:n_val]),
    callbacks=checkpoints,
    verbose=2,
)
print("figures:", sorted(history.history))
print("files:", sorted(os.listdir("weights")))

best = keras.models.load_model("best.keras")
figures = best.evaluate(x_test, y_test, verbose=0, return_dict=True)
for name, value in sorted(figures.items()):
    if name != "loss":
        print(f"{name} of the best epoch: {value:.2f}")
best.load_weights(f"weights/{EPOCHS:02d}.weights.h5")
print(f"accuracy of the last: {best.evaluate(x_test, y_test, verbose=0)[1]:.2f}")
