"""Settings, vectors and models that an optimizer refuses."""

import copy

import numpy as np
import pytest
from test_optimizers import every_optimizer
from test_training import X, Y, compiled, network

from minicnn import Sequential, optimizers, settings
from minicnn.layers import Dense
from minicnn.optimizers import SGD, Adam, Optimizer, RMSprop
from refusals.helpers import SPARSE, refused, trained


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1e-3, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (abs, TypeError),
    ],
)
def test_learning_rate_is_checked_at_construction_and_later(make, value, error):
    words = f"{make.__name__}: expected learning_rate to be a number in [0, inf", f"{value!r}"
    with refused(error, *words):
        make(value)
    model = trained()
    model.compile(make(0.01), SPARSE)
    model.fit(X, Y, verbose=0)
    with refused(error, *words, model=model):
        model.optimizer.learning_rate = value


@pytest.mark.parametrize(
    ("make", "value"), [(lambda e: Adam(epsilon=e), 0), (lambda e: RMSprop(epsilon=e), -1e-7)]
)
def test_epsilon_has_to_be_positive(make, value):
    with refused(ValueError, "expected epsilon to be a number in (0, inf", f"received {value!r}"):
        make(value)


def test_keras_s_arguments_of_optimizers_are_of_the_right_kind():
    Adam(amsgrad=np.False_, clipnorm=None)
    RMSprop(momentum=0)
    for name, wrong in (("amsgrad", 0), ("clipnorm", False), ("use_ema", None)):
        with refused(TypeError, f"Adam: expected {name} to be", f"received {wrong!r}"):
            Adam(**{name: wrong})
    with refused(TypeError, "RMSprop: expected momentum to be", "received False"):
        RMSprop(momentum=False)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
def test_the_old_names_of_the_learning_rate_are_checked_as_the_new_one(make):
    for name, today in (("lr", "learning_rate"), ("decay", "decay")):
        words = f"expected {today} to be a number", "received '0.1'", make.__name__
        with refused(TypeError, *words):
            make(**{name: "0.1"})
        optimizer = make()
        with refused(TypeError, *words):
            setattr(optimizer, name, "0.1")
        assert optimizer.get_config() == make(name=optimizer.name).get_config()

    class Own(make):
        def __init__(self, lr):
            super().__init__(lr)
            self.lr = self.decay = lr

    assert Own(0.2).lr == Own(0.2).learning_rate == 0.2


def test_state_and_iterations_of_an_optimizer():
    optimizer = Adam()
    optimizer.update(np.ones(2), np.ones(2))
    state = optimizer.state
    for wrong in (None, [], {"m": 3}, {3: np.ones(2)}, {"m": [1.0, 2.0]}):
        with refused(TypeError, "Adam: expected state to be a dict of vectors", repr(wrong)):
            optimizer.state = wrong
    for wrong, error in (
        (-1, ValueError),
        (1.5, TypeError),
        (2**63, ValueError),
        (True, TypeError),
    ):
        with refused(error, "Adam: expected iterations to be an integer", repr(wrong)):
            optimizer.iterations = wrong
    with refused(TypeError, "SGD: expected nesterov to be True or False"):
        SGD().nesterov = "no"
    assert optimizer.state is state
    assert optimizer.iterations == 1
    optimizer.state, optimizer.iterations = {}, 0
    optimizer.update(np.ones(2), np.ones(2), parts=[slice(0, 1)])


def test_an_optimizer_of_another_model_is_refused():
    """The models share no steps, whether their sizes agree or not."""
    other = trained()
    for forgotten in (False, True):  # the vectors of a model that is gone are as telling
        for layer in (Dense(2, input_shape=(2,)), Dense(2)):
            model = Sequential([layer])
            optimizer = copy.deepcopy(other.optimizer) if forgotten else other.optimizer
            model.compile(optimizer, "mse")
            with refused(ValueError, "Give each model its own optimizer", model=model):
                model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
            assert model.layers[0].built == (layer.declared_shape is not None)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
def test_update_refuses_wrong_slots_and_gradients(make):
    optimizer = make() if make is not SGD else SGD(momentum=0.5)
    w = np.ones(3, np.float32)
    optimizer.update(w, w.copy())
    before = w.copy()
    for wrong in (None, 3, [], {"v": None}, {"v": np.ones((3, 1))}, {"v": np.full(3, "a")}):
        with refused(TypeError, f"{make.__name__}: expected state to be a dict of vectors"):
            optimizer.state = wrong
    for wrong in (None, [0.0, 0.0, 0.0], np.ones((3, 1)), np.full(3, 1j), np.ma.ones(3)):
        right, optimizer.state["v"] = optimizer.state["v"], wrong
        with refused(TypeError, f"{make.__name__}: expected state to be a dict of vectors"):
            optimizer.update(w, w.copy())
        optimizer.state["v"] = right
    with refused(TypeError, f"{make.__name__}: expected g without masked numbers"):
        optimizer.update(w, np.ma.masked_array(np.ones(3), [True, False, False]))
    np.testing.assert_array_equal(w, before)


def test_an_optimizer_put_in_the_place_of_another_takes_the_steps():
    """What runs the steps was made for the one before."""
    model = trained()
    model.optimizer = SGD(0.0)
    before = model.get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert model.optimizer.iterations == 1


@pytest.mark.both_ways
def test_an_optimizer_serves_one_model_also_if_the_sizes_agree():
    one, two = compiled(), network()
    one.fit(X, Y, verbose=0)
    two.compile(one.optimizer, "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="Give each model its own optimizer"):
        two.fit(X, Y, verbose=0)
    assert one.optimizer.iterations == 5


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_learning_rate_has_to_be_a_number_from_zero(value):
    for make in (Adam, SGD, RMSprop):
        with pytest.raises(ValueError, match="learning_rate to be a number in"):
            make(learning_rate=value)
    optimizer = Adam()
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = value
    assert optimizer.learning_rate == 0.001
    with pytest.raises(TypeError, match="learning_rate"):
        SGD("fast")


@pytest.mark.parametrize(
    "call",
    [
        lambda: SGD(momentum=1.5),
        lambda: SGD(momentum=-0.1),
        lambda: RMSprop(rho=1),
        lambda: RMSprop(epsilon=0),
        lambda: Adam(beta_1=1.0),
        lambda: Adam(beta_2=-0.5),
        lambda: Adam(epsilon=-1),
    ],
)
def test_other_settings_have_their_ranges(call):
    with pytest.raises(
        ValueError, match="expected (momentum|rho|epsilon|beta_[12]) to be a number"
    ):
        call()


def test_an_optimizer_serves_one_model():
    optimizer = Adam()
    optimizer.update(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="expected 3 parameters.*received 4"):
        optimizer.update(np.ones(4), np.ones(4))
    assert optimizer.iterations == 1


@pytest.mark.parametrize("make", [Adam, RMSprop, SGD])
def test_an_argument_of_keras_is_taken_only_where_it_asks_for_nothing(make):
    make(loss_scale_factor=None)
    with pytest.raises(ValueError, match="loss_scale_factor can only be None"):
        make(loss_scale_factor=2.0)


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
def test_a_mean_that_forgets_nothing_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Adam(**{name: 1})


KINDS = [getattr(optimizers, name) for name in optimizers.__all__]
KINDS = [one for one in KINDS if isinstance(one, type) and issubclass(one, Optimizer)]


@pytest.mark.parametrize("kind", [one for one in KINDS if one is not Optimizer])
def test_no_number_of_any_optimizer_is_below_0(kind):
    """Each of them: one that no test named could lose its check."""
    numbers = [
        name for name, one in settings.arguments(kind).items() if isinstance(one.default, float)
    ]
    assert "learning_rate" in numbers
    for name in numbers:
        with pytest.raises(ValueError, match=name):
            kind(**{name: -0.5})


SETTINGS = [
    (SGD(momentum=0.5), "momentum", 1.5),
    (RMSprop(), "rho", 1.0),
    (RMSprop(), "epsilon", 0),
    (Adam(), "beta_1", 7),
    (Adam(), "beta_2", -0.1),
    (Adam(), "epsilon", np.nan),
    (Adam(), "learning_rate", -1),
]


@pytest.mark.parametrize(("optimizer", "name", "wrong"), SETTINGS)
def test_settings_are_checked_whenever_they_are_set(optimizer, name, wrong):
    before = getattr(optimizer, name)
    words = f"{type(optimizer).__name__}: expected {name} to be a number in"
    with pytest.raises(ValueError, match=words):
        setattr(optimizer, name, wrong)
    with pytest.raises(TypeError, match=words):
        setattr(optimizer, name, "a")
    assert getattr(optimizer, name) == before
    setattr(optimizer, name, 0.25)
    assert getattr(optimizer, name) == 0.25


@every_optimizer
@pytest.mark.parametrize(
    ("w", "g", "error", "words"),
    [
        (np.ones(3), np.ones(4), ValueError, r"expected g of w's shape \(3,\), received \(4,\)"),
        (np.ones(3), np.ones(1), ValueError, r"expected g of w's shape \(3,\), received \(1,\)"),
        ([1.0], np.ones(1), TypeError, "expected w to be an array of float.*received list"),
        (np.ones(3), [1.0] * 3, TypeError, "expected g to be an array of float.*received list"),
        (np.ones(3, int), np.ones(3), TypeError, "expected w to be .*received int64"),
    ],
)
def test_update_refuses_wrong_vectors(make, w, g, error, words):
    optimizer = make()
    with pytest.raises(error, match=f"{type(optimizer).__name__}: {words}"):
        optimizer.update(w, g)
    assert optimizer.iterations == 0
    assert np.all(np.asarray(w) == 1)
