"""Small arrays worked out on paper. Each test shows its working; take a pencil and follow.

Images of one channel are written as tables, so that they look as on paper; `image` and `table` put
the axes of batch and channel around them and take them off again.
"""

import math

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
)
from minicnn.losses import (
    CategoricalCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from minicnn.optimizers import SGD, Adam, RMSprop


def image(rows):
    return np.array(rows, np.float64)[None, :, :, None]


def table(images):
    return images[0, :, :, 0].tolist()


def convolution(kernel, **arguments):
    layer = Conv2D(1, np.shape(kernel), dtype="float64", **arguments)
    layer.build((None, 3, 3, 1))
    layer.set_weights([np.array(kernel, np.float64)[:, :, None, None], [10.0]])
    return layer


NINE = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
KERNEL = [[1, 2], [3, 4]]  # not symmetric: a flipped or transposed kernel gives other numbers


# -- convolution ----------------------------------------------------------------------------------


def test_convolution():
    layer = convolution(KERNEL)
    # 1*1 + 2*2 + 4*3 + 5*4 = 37     2*1 + 3*2 + 5*3 + 6*4 = 47     and 10 of bias to each
    # 4*1 + 5*2 + 7*3 + 8*4 = 67     5*1 + 6*2 + 8*3 + 9*4 = 77
    assert table(layer.forward(NINE)) == [[47, 57], [77, 87]]

    dx = layer.backward(image([[1, 0], [0, -1]]))
    # dy = 1 sends the kernel back to the upper left, dy = -1 its negative to the lower right:
    #    1  2  0        0  0  0
    #    3  4  0   +    0 -1 -2     they meet in the middle: 4 - 1
    #    0  0  0        0 -3 -4
    assert table(dx) == [[1, 2, 0], [3, 3, -2], [0, -3, -4]]
    # dW[a, b] = 1 * x[a, b] - 1 * x[a + 1, b + 1]: always 4 less
    assert layer.grads["W"][:, :, 0, 0].tolist() == [[-4, -4], [-4, -4]]
    assert layer.grads["b"].tolist() == [0]


def test_convolution_with_strides():
    layer = convolution(KERNEL, strides=(1, 2))
    # the windows of columns 0-1 alone: columns 2-3 do not fit
    assert table(layer.forward(NINE)) == [[47], [77]]
    # dy = 1 above and 2 below: the third column belongs to no window
    #    1  2  0        0  0  0
    #    3  4  0   +    2  4  0
    #    0  0  0        6  8  0
    assert table(layer.backward(image([[1], [2]]))) == [[1, 2, 0], [5, 8, 0], [6, 8, 0]]
    # dW[a, b] = x[a, b] + 2 x[a + 1, b]
    assert layer.grads["W"][:, :, 0, 0].tolist() == [[9, 12], [18, 21]]
    assert layer.grads["b"].tolist() == [3]


def test_convolution_with_same_padding():
    layer = convolution(KERNEL, padding="same")
    # 3 windows a row need one more cell: it comes at the end, a column and a row of zeros.
    # right edge:  3*1 + 0 + 6*3 + 0 = 21          6*1 + 0 + 9*3 + 0 = 33
    # lower edge:  7*1 + 8*2 = 23                  8*1 + 9*2 = 26         corner: 9*1 = 9
    assert table(layer.forward(NINE)) == [[47, 57, 31], [77, 87, 43], [33, 36, 19]]
    # dy = 1 in the lower right corner alone: only W[0, 0] met a cell of the image there, the 9
    assert table(layer.backward(image([[0, 0, 0], [0, 0, 0], [0, 0, 1]])))[2] == [0, 0, 1]
    assert layer.grads["W"][:, :, 0, 0].tolist() == [[9, 0], [0, 0]]


def test_convolution_with_same_padding_and_strides():
    layer = convolution(KERNEL, padding="same", strides=2)
    # out = ceil(3 / 2) = 2; total padding = (2 - 1) * 2 + 2 - 3 = 1, at the end again
    assert table(layer.forward(NINE)) == [[47, 31], [33, 19]]
    # windows lie side by side: each cell is in one, and gets W[a, b] * dy of it
    dx = layer.backward(image([[1, 10], [100, 1000]]))
    assert table(dx) == [[1, 2, 10], [3, 4, 30], [100, 200, 1000]]
    # W[0, 0] met 1, 3, 7, 9;  W[0, 1] met 2, -, 8, -;  W[1, 0] met 4, 6, -, -;  W[1, 1] met 5
    expected = [[1 + 30 + 700 + 9000, 2 + 800], [4 + 60, 5]]
    assert layer.grads["W"][:, :, 0, 0].tolist() == expected


def test_convolution_with_kernel_3_and_strides_pads_before_the_image_too():
    layer = convolution([[0, 0, 0], [0, 1, 0], [0, 0, 0]], padding="same", strides=2)
    # out = 2; total = (2 - 1) * 2 + 3 - 3 = 2: one before and one after. The first window's
    # middle is the corner, so the kernel that is 1 in the middle picks every other cell
    assert table(layer.forward(NINE)) == [[11, 13], [17, 19]]
    assert table(layer.backward(image([[1, 2], [3, 4]]))) == [[1, 0, 2], [0, 0, 0], [3, 0, 4]]


def test_convolution_sums_over_channels_and_has_a_kernel_for_each_filter():
    layer = Conv2D(2, 1, activation="relu", dtype="float64")
    layer.build((None, 1, 2, 2))
    layer.set_weights([np.reshape([1, -1, 2, 1], (1, 1, 2, 2)), [0, -1]])
    x = np.reshape([3.0, 5.0, 1.0, 0.0], (1, 1, 2, 2))
    # cell (3, 5):  filter 0: 3*1 + 5*2 = 13        filter 1: 3*(-1) + 5*1 - 1 = 1
    # cell (1, 0):  filter 0: 1*1 + 0*2 = 1         filter 1: 1*(-1) + 0 - 1 = -2, which ReLU stops
    assert layer.forward(x).ravel().tolist() == [13, 1, 1, 0]
    dx = layer.backward(np.reshape([1.0, 10.0, 100.0, 1000.0], (1, 1, 2, 2)))
    # the 1000 meets a closed ReLU.  dx = dz @ W^T:  1*1 + 10*(-1), 1*2 + 10*1;  100*1, 100*2
    assert dx.ravel().tolist() == [-9, 12, 100, 200]
    # dW[c, f] = sum over cells of x[c] dz[f]:   3*1 + 1*100, 3*10;   5*1 + 0*100, 5*10
    assert layer.grads["W"].ravel().tolist() == [103, 30, 5, 50]
    assert layer.grads["b"].tolist() == [101, 10]


# -- pooling --------------------------------------------------------------------------------------


def test_max_pooling_where_windows_overlap():
    layer = MaxPooling2D(2, strides=1)
    x = image([[1, 9, 2], [3, 4, 8], [7, 5, 6]])
    # 1 9 / 3 4 -> 9     9 2 / 4 8 -> 9     3 4 / 7 5 -> 7     4 8 / 5 6 -> 8
    assert table(layer.forward(x)) == [[9, 9], [7, 8]]
    # the 9 won twice and collects both
    dx = layer.backward(image([[1, 20], [300, 4000]]))
    assert table(dx) == [[0, 21, 0], [0, 0, 4000], [300, 0, 0]]


def test_max_pooling_of_negative_numbers_with_padding():
    layer = MaxPooling2D(2, padding="same")
    # windows begin at rows and columns 0 and 2; padding is no 0 that could win over -3
    assert table(layer.forward(image([[-5, -4, -3], [-8, -9, -7], [-2, -6, -1]]))) == [
        [-4, -3],
        [-2, -1],
    ]
    dx = layer.backward(image([[1, 2], [3, 4]]))
    assert table(dx) == [[0, 1, 2], [0, 0, 0], [3, 0, 4]]


def test_max_pooling_of_ties():
    layer = MaxPooling2D(2, strides=1)
    # every window of a flat image is won by its first cell
    layer.forward(image([[5, 5, 5], [5, 5, 5], [5, 5, 5]]))
    dx = layer.backward(image([[1, 2], [3, 4]]))
    assert table(dx) == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]


def test_average_pooling_counts_real_cells_at_the_edges():
    layer = AveragePooling2D(2, padding="same")
    # (1 + 2 + 4 + 5) / 4     (3 + 6) / 2
    # (7 + 8) / 2             9 / 1
    assert table(layer.forward(NINE)) == [[3, 4.5], [7.5, 9]]
    dx = layer.backward(image([[4, 2], [6, 10]]))
    assert table(dx) == [[1, 1, 1], [1, 1, 1], [3, 3, 10]]


def test_average_pooling_where_windows_overlap():
    layer = AveragePooling2D(2, strides=1)
    assert table(layer.forward(NINE)) == [[3, 4], [6, 7]]
    # a quarter of each dy to each cell: the middle is in all four windows
    dx = layer.backward(image([[4, 8], [12, 16]]))
    assert table(dx) == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]


# -- dense, activations, flatten ------------------------------------------------------------------


def test_dense():
    layer = Dense(2, dtype="float64")
    layer.build((None, 3))
    layer.set_weights([[[1, 4], [2, 5], [3, 6]], [10, 20]])
    x = np.array([[1.0, 0, -1], [2, 1, 0]])
    # 1*1 - 1*3 + 10 = 8     1*4 - 1*6 + 20 = 18
    # 2*1 + 1*2 + 10 = 14    2*4 + 1*5 + 20 = 33
    assert layer.forward(x).tolist() == [[8, 18], [14, 33]]
    # dx = dy @ W^T: (1, 10) . (1, 4), (2, 5), (3, 6);  (0, -1) takes minus the second column
    assert layer.backward(np.array([[1.0, 10], [0, -1]])).tolist() == [[41, 52, 63], [-4, -5, -6]]
    # dW = x^T @ dy: rows 1*(1, 10) + 2*(0, -1),  0 + 1*(0, -1),  -1*(1, 10)
    assert layer.grads["W"].tolist() == [[1, 8], [0, -1], [-1, -10]]
    assert layer.grads["b"].tolist() == [1, 9]


def test_dense_with_relu():
    layer = Dense(2, activation="relu", dtype="float64")
    layer.build((None, 1))
    layer.set_weights([[[1, -1]], [0, 0]])
    # x = 3: z = (3, -3), y = (3, 0); the closed unit neither learns nor sends anything back
    assert layer.forward(np.array([[3.0]])).tolist() == [[3, 0]]
    assert layer.backward(np.array([[5.0, 7.0]])).tolist() == [[5]]
    assert layer.grads["W"].tolist() == [[15, 0]]
    assert layer.grads["b"].tolist() == [5, 0]


def test_relu():
    layer = ReLU()
    assert layer.forward(np.array([[-2.0, 0.0, 3.0]])).tolist() == [[0, 0, 3]]
    assert layer.backward(np.array([[5.0, 6.0, 7.0]])).tolist() == [[0, 0, 7]]


def test_sigmoid_and_tanh():
    # sigmoid(log 3) = 1 / (1 + 1/3) = 3/4, slope 3/4 * 1/4 = 3/16
    layer = Sigmoid()
    assert layer.forward(np.array([[math.log(3)]])).item() == pytest.approx(0.75)
    assert layer.backward(np.array([[16.0]])).item() == pytest.approx(3)
    # tanh(log 2) = (2 - 1/2) / (2 + 1/2) = 3/5, slope 1 - 9/25 = 16/25
    layer = Tanh()
    assert layer.forward(np.array([[math.log(2)]])).item() == pytest.approx(0.6)
    assert layer.backward(np.array([[25.0]])).item() == pytest.approx(16)


def test_softmax():
    # exp(0), exp(log 2), exp(log 5) = 1, 2, 5 of 8
    layer = Softmax()
    y = layer.forward(np.array([[0, math.log(2), math.log(5)]]))
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-15)
    # dx = y * (dy - sum of dy y), with dy = (8, 0, 0) and the sum 8 * 1/8 = 1
    np.testing.assert_allclose(
        layer.backward(np.array([[8.0, 0, 0]])), [[7 / 8, -2 / 8, -5 / 8]], rtol=1e-15
    )


def test_flatten_goes_row_by_row_channel_by_channel():
    x = np.arange(8.0).reshape(1, 2, 2, 2)  # cell (h, w) holds channels 4h + 2w and 4h + 2w + 1
    layer = Flatten()
    assert layer.forward(x).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert layer.backward(x.reshape(1, 8)).tolist() == x.tolist()


def test_rescaling_of_bytes():
    x = np.array([0, 51, 255], np.uint8)
    layer = Rescaling(2 / 255, offset=-1)
    np.testing.assert_allclose(layer.forward(x), [-1, -0.6, 1], rtol=1e-6)
    # dx = 2/255 dy
    np.testing.assert_allclose(layer.backward(np.array([255.0, 0, -510])), [2, 0, -4], rtol=1e-6)


def test_rescaling_of_each_channel():
    x = np.array([[[0, 10, 100], [50, 20, 200]]], np.uint8)
    layer = Rescaling(np.array([0.5, 2, 0.25]), offset=[1, 0, -25])
    # red / 2 + 1, green * 2, blue / 4 - 25
    assert layer.forward(x).tolist() == [[[1, 20, 0], [26, 40, 25]]]
    dy = np.array([[[2.0, 3, 4], [-2, 0, 8]]])
    assert layer.backward(dy).tolist() == [[[1, 6, 1], [-1, 0, 2]]]


# -- losses ---------------------------------------------------------------------------------------


def test_softmax_and_cross_entropy():
    # logits 0, log 2, log 5 stand for 1/8, 2/8, 5/8
    z = np.array([[0, math.log(2), math.log(5)]] * 2)
    sparse = SparseCategoricalCrossentropy(from_logits=True)
    # label 2: L = -log 5/8 = log 8/5;   label 0: L = log 8
    values = sparse.forward(np.array([2, 0]), z)
    np.testing.assert_allclose(values, [math.log(8 / 5), math.log(8)], rtol=1e-15)
    # dz = p - one-hot
    np.testing.assert_allclose(
        sparse.backward(np.array([2, 0]), z),
        [[1 / 8, 2 / 8, -3 / 8], [-7 / 8, 2 / 8, 5 / 8]],
        rtol=1e-14,
    )
    # half of each of two classes: L = log(8/1) / 2 + log(8/2) / 2 = log sqrt(32)
    soft = np.array([[0.5, 0.5, 0]])
    one_hot = CategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(one_hot.forward(soft, z[:1]), [math.log(32) / 2], rtol=1e-15)
    np.testing.assert_allclose(one_hot.backward(soft, z[:1]), [[-3 / 8, -2 / 8, 5 / 8]], rtol=1e-14)


def test_cross_entropy_of_probabilities():
    p = np.array([[0.5, 0.25, 0.25]])
    loss = SparseCategoricalCrossentropy()
    # L = -log p_k + log(sum of p): log 4;   dL/dp = 1/sum - [q = k]/p_k: 1, 1 - 4, 1
    np.testing.assert_allclose(loss.forward(np.array([1]), p), [math.log(4)], rtol=1e-15)
    np.testing.assert_allclose(loss.backward(np.array([1]), p), [[1, -3, 1]], rtol=1e-14)
    # a certain error: p_k is clipped to 1e-7, so the loss ends there, and has no slope
    p = np.array([[1.0, 0.0]])
    assert loss.forward(np.array([1]), p).item() == pytest.approx(7 * math.log(10), abs=1e-6)
    assert loss.backward(np.array([1]), p).tolist() == [[0, 0]]


def test_mean_squared_error():
    loss = MeanSquaredError()
    y, y_pred = np.array([[1.0, 2.0]]), np.array([[2.0, 5.0]])
    # (1 + 9) / 2;   2 * (1, 3) / 2
    assert loss.forward(y, y_pred).tolist() == [5]
    assert loss.backward(y, y_pred).tolist() == [[1, 3]]


# -- dropout and batch normalization --------------------------------------------------------------


def test_dropout_scales_what_it_keeps():
    # rate 0.75 keeps a quarter, times 1 / 0.25 = 4
    layer = Dropout(0.75, seed=0)
    x = np.arange(1.0, 101.0)
    y = layer.forward(x, training=True)
    kept = y != 0
    assert 10 < kept.sum() < 40
    np.testing.assert_array_equal(y, np.where(kept, 4 * x, 0))
    np.testing.assert_array_equal(layer.backward(x), np.where(kept, 4 * x, 0))


def test_batch_normalization_of_two_samples():
    layer = BatchNormalization(momentum=0.9, epsilon=3.0, dtype="float64")
    layer.build((None, 1))
    layer.set_weights([[6.0], [1.0], [10.0], [20.0]])  # gamma, beta, moving mean and variance
    # x = 2, 4: mean 3, var 1, root sqrt(1 + 3) = 2, so x_hat = -1/2, 1/2 and y = 6 x_hat + 1
    x = np.array([[2.0], [4.0]])
    assert layer.forward(x, training=True).tolist() == [[-2], [4]]
    # moving = 0.9 * old + 0.1 * new, the variance with 2 below the line and not with 1
    np.testing.assert_allclose(layer.state["moving_mean"], [9 + 0.3], rtol=1e-15)
    np.testing.assert_allclose(layer.state["moving_variance"], [18 + 0.1], rtol=1e-15)
    # dy = 8, 4: dbeta = 12, dgamma = -4 + 2 = -2, and with s = 6 / 2 = 3
    # dx = 3 * (8 - 12/2 + 1/2 * (-2)/2) = 3 * (2 - 1/2)  and the same with the other sign
    assert layer.backward(np.array([[8.0], [4.0]])).tolist() == [[4.5], [-4.5]]
    assert layer.grads["beta"].tolist() == [12]
    assert layer.grads["gamma"].tolist() == [-2]


def test_batch_normalization_outside_training():
    layer = BatchNormalization(epsilon=1.0, dtype="float64")
    layer.build((None, 1))
    layer.set_weights([[6.0], [1.0], [10.0], [8.0]])
    # (13 - 10) / sqrt(8 + 1) = 1, times 6, plus 1; the slope is 6 / 3 for every sample
    assert layer.forward(np.array([[13.0], [10.0]])).tolist() == [[7], [1]]
    assert layer.backward(np.array([[5.0], [7.0]])).tolist() == [[10], [14]]
    assert layer.grads["beta"].tolist() == [12]
    assert layer.grads["gamma"].tolist() == [5]
    assert layer.state["moving_mean"].tolist() == [10]


# -- optimizers -----------------------------------------------------------------------------------


def stepped(optimizer, *gradients):
    w = np.array([1.0])
    for g in gradients:
        optimizer.update(w, np.array([g]))
    return w.item()


def test_a_step_of_plain_descent():
    # 1 - 0.5 * 4
    assert stepped(SGD(0.5), 4.0) == -1


def test_two_steps_of_momentum():
    # v = 0 - 0.5 * 4 = -2,      w = 1 - 2 = -1
    # v = 0.5 * -2 - 0.5 * 2 = -2,  w = -1 - 2 = -3
    assert stepped(SGD(0.5, momentum=0.5), 4.0, 2.0) == -3


def test_two_steps_of_nesterov():
    # v = -2,  w = 1 + 0.5 * -2 - 0.5 * 4 = -2
    # v = -2,  w = -2 + 0.5 * -2 - 0.5 * 2 = -4
    assert stepped(SGD(0.5, momentum=0.5, nesterov=True), 4.0, 2.0) == -4


def test_a_step_of_rmsprop():
    # v = 0.75 * 0 + 0.25 * 4^2 = 4;  epsilon 5 inside the root: w = 1 - 3 * 4 / sqrt(4 + 5)
    assert stepped(RMSprop(3.0, rho=0.75, epsilon=5.0), 4.0) == -3


def test_two_steps_of_adam():
    # m = 0.5 * 4 = 2,  v = 0.75 * 16 = 12
    # alpha = 1 * sqrt(1 - 0.25) / (1 - 0.5) = sqrt(3)
    # w = 1 - sqrt(3) * 2 / (sqrt(12) + sqrt(3)) = 1 - 2 / (2 + 1)
    settings = dict(learning_rate=1.0, beta_1=0.5, beta_2=0.25, epsilon=math.sqrt(3))
    assert stepped(Adam(**settings), 4.0) == pytest.approx(1 / 3, rel=1e-15)
    # m = 1 + 0.5 * 0 = 1,  v = 0.25 * 12 = 3;  alpha = sqrt(1 - 1/16) / (1 - 1/4) = sqrt(15) / 3
    # w = 1/3 - sqrt(15)/3 * 1 / (sqrt(3) + sqrt(3)) = 1/3 - sqrt(5)/6
    expected = 1 / 3 - math.sqrt(5) / 6
    assert stepped(Adam(**settings), 4.0, 0.0) == pytest.approx(expected, rel=1e-14)


# -- a whole step ---------------------------------------------------------------------------------


def test_one_step_of_a_model():
    """w = (1, 2), b = 0; two samples, of which the second weighs on the mean like the first."""
    model = Sequential([Dense(1, input_shape=(2,), dtype="float64")])
    model.set_weights([[[1], [2]], [0]])
    model.compile(SGD(0.5), "mse", metrics=["mae"])
    # y_pred = 1*1 + 2*0 = 1 and 1*1 + 2*1 = 3, targets 0 and 5: errors 1 and -2
    # loss = (1 + 4) / 2, mae = (1 + 2) / 2;   dL/dy_pred = 2 * (1, -2) / 2
    assert model.train_on_batch(np.array([[1.0, 0], [1, 1]]), np.array([0.0, 5])) == [2.5, 1.5]
    # dw = 1*(1, 0) - 2*(1, 1) = (-1, -2), db = -1;   w = (1, 2) + 0.5 * (1, 2)
    assert model.flat_grads.tolist() == [-1, -2, -1]
    assert model.flat_params.tolist() == [1.5, 3, 0.5]
