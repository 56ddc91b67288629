"""An autoencoder that takes the noise out of pictures: convolutions down, and up again."""

import numpy as np
from keras.datasets import mnist
from keras.layers import Conv2D, Conv2DTranspose, Input, MaxPooling2D, UpSampling2D
from keras.models import Sequential
from keras.utils import save_img, set_random_seed

set_random_seed(5)


def preprocess(array):
    return np.reshape(array.astype("float32") / 255.0, (len(array), 28, 28, 1))


def noise(array):
    noisy = array + 0.4 * np.random.normal(loc=0.0, scale=1.0, size=array.shape)
    return np.clip(noisy, 0.0, 1.0)


(train_data, _), (test_data, _) = mnist.load_data()
train_data, test_data = preprocess(train_data), preprocess(test_data)
noisy_train, noisy_test = noise(train_data), noise(test_data)
print("pictures:", train_data.shape, noisy_train.shape)

autoencoder = Sequential(
    [
        Input(shape=(28, 28, 1)),
        Conv2D(16, (3, 3), activation="relu", padding="same"),
        MaxPooling2D((2, 2), padding="same"),
        Conv2D(8, (3, 3), activation="relu", padding="same"),
        MaxPooling2D((2, 2), padding="same", name="code"),
        Conv2DTranspose(8, (3, 3), strides=2, activation="relu", padding="same"),
        UpSampling2D((2, 2)),
        Conv2D(1, (3, 3), activation="sigmoid", padding="same"),
    ]
)
print("output:", autoencoder.output_shape, "parameters:", autoencoder.count_params())
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
before = autoencoder.evaluate(noisy_test, test_data, verbose=0)

# first to give back what it is given, then to give back what was there before the noise
autoencoder.fit(
    x=train_data,
    y=train_data,
    epochs=2,
    batch_size=32,
    shuffle=True,
    validation_data=(test_data, test_data),
    verbose=2,
)
history = autoencoder.fit(
    x=noisy_train,
    y=train_data,
    epochs=4,
    batch_size=32,
    validation_data=(noisy_test, test_data),
    verbose=2,
)
print("figures:", sorted(history.history))
after = autoencoder.evaluate(noisy_test, test_data, verbose=0)
print("better than before:", after < 0.95 * before)

clean = autoencoder.predict(noisy_test, verbose=0)
print("clean pictures:", clean.shape, "within 0 and 1:", bool(((clean >= 0) & (clean <= 1)).all()))
closer = np.abs(clean - test_data).mean() < 0.7 * np.abs(noisy_test - test_data).mean()
print("closer to the truth than the noisy ones:", bool(closer))
for i in range(2):
    save_img(f"picture_{i}.png", np.concatenate([noisy_test[i], clean[i], test_data[i]], axis=1))

# the first half alone: codes of 7 * 7 * 8 numbers
last = [layer.name for layer in autoencoder.layers].index("code")
encoder = Sequential(autoencoder.layers[: last + 1])
print("codes:", encoder.predict(test_data, verbose=0).shape)
