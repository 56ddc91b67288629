# ruff: noqa: B006, I001, UP010, UP031  (written in the manner of its time)
"""A convolutional network in the style of Keras 2, with arguments that Keras 3 has dropped."""

from __future__ import print_function

import numpy as np
import keras
from keras import backend as K
from keras.callbacks import Callback
from keras.datasets import cifar10
from keras.layers import Activation, Convolution2D, Dense, Dropout, Flatten, MaxPooling2D
from keras.models import Sequential
from keras.optimizers import SGD, Adam
from keras.preprocessing.image import ImageDataGenerator
from keras.utils import np_utils

np.random.seed(1337)
keras.utils.set_random_seed(1337)

batch_size = 30
nb_classes = 10
nb_epoch = 4

(X_train, y_train), (X_test, y_test) = cifar10.load_data()
if K.image_data_format() == "channels_first":
    X_train = X_train.transpose(0, 3, 1, 2)
    X_test = X_test.transpose(0, 3, 1, 2)
    input_shape = (3, 32, 32)
else:
    input_shape = (32, 32, 3)
print("X_train shape:", X_train.shape)
Y_train = np_utils.to_categorical(y_train, nb_classes)
Y_test = np_utils.to_categorical(y_test, nb_classes)
X_train = X_train.astype(K.floatx()) / 255
X_test = X_test.astype(K.floatx()) / 255

K.clear_session()
model = Sequential()
model.add(Convolution2D(8, (3, 3), padding="same", input_shape=input_shape))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Convolution2D(8, (3, 3)))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.1))
model.add(Flatten())
model.add(Dense(32))
model.add(Activation("relu"))
model.add(Dense(nb_classes))
model.add(Activation("softmax"))
print("layers:", len(model.layers), "parameters:", model.count_params())


class Rates(Callback):
    """The rate after each epoch, with the decay of Keras 2 worked out by hand."""

    def on_epoch_end(self, epoch, logs={}):
        optimizer = self.model.optimizer
        lr = K.get_value(optimizer.lr)
        decayed = lr / (1 + 0.01 * int(K.get_value(optimizer.iterations)))
        print("epoch %d: lr %.2e, decayed %.2e" % (epoch, lr, decayed))


sgd = SGD(lr=0.02, decay=0.01, momentum=0.9, nesterov=True)
model.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
datagen = ImageDataGenerator(width_shift_range=0.05, height_shift_range=0.05)
datagen.fit(X_train)
model.fit_generator(
    datagen.flow(X_train, Y_train, batch_size=batch_size),
    steps_per_epoch=X_train.shape[0] // batch_size,
    epochs=nb_epoch,
    validation_data=(X_test, Y_test),
    verbose=2,
    callbacks=[Rates()],
)

score = model.evaluate(X_test, Y_test, verbose=0)
print("accuracy: %.2f" % score[1])
classes = model.predict_classes(X_test, verbose=0)
print("right: %.2f" % np.mean(classes == y_test[:, 0]))
by_generator = model.evaluate_generator(datagen.flow(X_test, Y_test, batch_size=20), steps=5)
print("by generator: %.2f" % by_generator[1])
print("predicted:", model.predict_generator(datagen.flow(X_test, batch_size=20), steps=3).shape)

model.compile(loss="categorical_crossentropy", optimizer=Adam(lr=1e-4, decay=1e-6))
print("lr: %.1e" % K.get_value(model.optimizer.lr))
