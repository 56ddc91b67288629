"""Two classes in folders: a sigmoid, precision and recall, class weights, an early stop."""

import os

import matplotlib.pyplot as plt
import numpy as np
from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.callbacks import CSVLogger, EarlyStopping, TerminateOnNaN
from tensorflow.keras.metrics import AUC, BinaryAccuracy, Precision, Recall
from tensorflow.keras.preprocessing.image import ImageDataGenerator

keras.utils.set_random_seed(9)
rng = np.random.default_rng(9)

# the pictures: round ears are a dog's, pointed ones a cat's; there are fewer dogs
SIZE = 24


def animal(kind):
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    image = rng.normal(90, 15, (SIZE, SIZE, 3))
    x = x - rng.uniform(-2, 2)
    if kind == "cats":
        ears = (np.abs(np.abs(x) - 5) < (y + 11) / 2) & (y > -11) & (y < -3)
    else:
        ears = np.hypot(np.abs(x) - 8, y - 1) < 4
    image[ears | (np.hypot(x, y - 2) < 6)] += (110, 80, 40)
    return image.clip(0, 255)


counts = {"train": {"cats": 90, "dogs": 45}, "validation": {"cats": 30, "dogs": 30}}
for part, kinds in counts.items():
    for kind, count in kinds.items():
        folder = os.path.join("data", part, kind)
        os.makedirs(folder)
        for i in range(count):
            plt.imsave(os.path.join(folder, f"{kind[:3]}.{i}.png"), animal(kind) / 255)

train_datagen = ImageDataGenerator(rescale=1.0 / 255, horizontal_flip=True)
test_datagen = ImageDataGenerator(rescale=1.0 / 255)
train = train_datagen.flow_from_directory(
    "data/train", target_size=(SIZE, SIZE), batch_size=15, class_mode="binary", seed=1
)
validation = test_datagen.flow_from_directory(
    "data/validation", target_size=(SIZE, SIZE), batch_size=15, class_mode="binary", shuffle=False
)
print("classes:", train.class_indices, "pictures:", train.samples, validation.samples)
x, y = next(train)
print("a batch:", x.shape, y.shape, y.dtype)

rarer = train.samples / (2 * np.bincount(train.classes))
class_weight = dict(enumerate(rarer))
print("weights:", {label: f"{weight:.3f}" for label, weight in class_weight.items()})

model = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 3)),
        layers.Conv2D(8, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(16, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=2e-3),
    loss="binary_crossentropy",
    metrics=[BinaryAccuracy(name="accuracy"), Precision(name="precision"), Recall(name="recall"),
             AUC(name="auc")],
)  # fmt: skip
early = EarlyStopping(
    monitor="val_auc", mode="max", min_delta=1.0, patience=6, verbose=1, restore_best_weights=True
)
history = model.fit(
    train,
    epochs=20,
    validation_data=validation,
    class_weight=class_weight,
    callbacks=[early, CSVLogger("log.csv"), TerminateOnNaN()],
    verbose=0,
)
# no later area can be better by a whole 1 than that of the first epoch
print("epochs:", len(history.history["loss"]), "stopped in", early.stopped_epoch)
print("figures:", sorted(history.history))
restored = model.evaluate(validation, verbose=0, return_dict=True)
print("the best weights:", abs(restored["auc"] - history.history["val_auc"][0]) < 0.01)

# without the early stop
model.fit(train, epochs=8, class_weight=class_weight, verbose=0)
figures = model.evaluate(validation, verbose=0, return_dict=True)
for name in ("accuracy", "auc", "precision", "recall"):
    print(f"{name}: {figures[name]:.2f}")
probabilities = model.predict(validation, verbose=0)
labels = (probabilities > 0.5).astype("int32").ravel()
print("predicted:", probabilities.shape, f"right: {np.mean(labels == validation.classes):.2f}")
with open("log.csv") as log:
    print("logged:", log.readline().strip())
