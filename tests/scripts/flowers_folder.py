"""Pictures in a folder for each class: read, look at, train on, and name a new picture."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np
from tensorflow import keras
from tensorflow.keras import layers
from tensorflow.keras.utils import save_img

keras.utils.set_random_seed(4)
rng = np.random.default_rng(0)

# the pictures: flowers as disks with the colour of their kind, of several sizes
data_dir = pathlib.Path("flowers")
COLOURS = {"daisy": (240, 240, 230), "rose": (200, 30, 60), "violet": (90, 40, 160)}


def flower(colour, size):
    y, x = np.mgrid[:size, :size] / size - 0.5
    place = rng.uniform(-0.15, 0.15, 2)
    disk = np.hypot(y - place[0], x - place[1]) < rng.uniform(0.25, 0.35)
    image = rng.uniform(20, 90, (size, size, 3)) * (0.6, 1.0, 0.5)
    image[disk] = colour + rng.normal(0, 12, (disk.sum(), 3))
    return image.clip(0, 255)


for name, colour in COLOURS.items():
    (data_dir / name).mkdir(parents=True)
    for i in range(30):
        save_img(data_dir / name / f"{i:03}.png", flower(colour, 24 + i % 3), scale=False)
print("pictures:", len(list(data_dir.glob("*/*.png"))))

# the data sets
image_size = (24, 24)
batch_size = 16
options = dict(validation_split=0.2, seed=123, image_size=image_size, batch_size=batch_size)
train_ds = keras.utils.image_dataset_from_directory(data_dir, subset="training", **options)
val_ds = keras.utils.image_dataset_from_directory(data_dir, subset="validation", **options)
class_names = train_ds.class_names
print("classes:", class_names)
print("batches:", len(train_ds), len(val_ds))
for images, labels in train_ds.take(1):
    print("a batch:", images.shape, labels.shape)
    plt.imshow(images[0].numpy().astype("uint8"))
    plt.title(class_names[labels[0]])
    plt.savefig("first.png")
    print("of these:", len(np.unique(labels.numpy())), "classes")

train_ds = train_ds.map(lambda x, y: (x / 255.0, y)).cache().shuffle(100).prefetch(buffer_size=2)
val_ds = val_ds.map(lambda x, y: (x / 255.0, y)).cache().prefetch(buffer_size=2)
for images, _ in val_ds.take(1):
    print("scaled to 1:", bool(np.max(images) <= 1.0))

model = keras.Sequential(
    [
        layers.RandomFlip("horizontal", input_shape=(*image_size, 3)),
        layers.RandomRotation(0.1),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.2),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(len(class_names), name="outputs"),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.005),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
history = model.fit(train_ds, validation_data=val_ds, epochs=10, verbose=2)
print("epochs:", len(history.history["val_accuracy"]))
print(f"accuracy: {model.evaluate(val_ds, verbose=0)[1]:.2f}")
print("predicted:", model.predict(val_ds, verbose=0).shape)

# a picture from elsewhere, of another size
save_img("sunflower.png", flower(COLOURS["rose"], 60), scale=False)
image = keras.preprocessing.image.load_img("sunflower.png", target_size=image_size)
print("picture:", image.size, image.mode)
array = np.expand_dims(keras.preprocessing.image.img_to_array(image), 0) / 255.0
scores = keras.activations.softmax(model(array, training=False))
scores = np.array(scores)[0]
print(f"most likely a {class_names[np.argmax(scores)]}, with {scores.max():.2f}")
