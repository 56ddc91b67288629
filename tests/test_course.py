"""The course's exercises: right functions pass, and of wrong ones the mistake is named."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import course
from minicnn.course import package, solutions
from minicnn.course.pages import EXERCISES

PAGES = Path(__file__).parent.parent / "docs" / "course"
NAMES = list(EXERCISES)
SLIPS = [(name, k) for name in NAMES for k in range(len(EXERCISES[name].slips))]


def padded(x, P):
    return np.pad(x, ((0, 0), (P, P), (P, P), (0, 0)))


# -- right functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_solution_passes_without_a_remark(name):
    answer = course.check(name, getattr(solutions, name))
    assert answer
    assert answer.ok
    assert not answer.remarks
    assert re.fullmatch(
        rf"{name}: passed \(\d cases( and central differences agree)?\)", str(answer)
    )
    assert (answer.gradients is not None) == (EXERCISES[name].gradient is not None)


def by_loops(dy, x, W, S, P):
    xp = padded(x, P)
    dxp, dW = np.zeros_like(xp), np.zeros_like(W)
    for n, i, j, f in np.ndindex(dy.shape):
        for a, b, c in np.ndindex(W.shape[:3]):
            dxp[n, i * S + a, j * S + b, c] += dy[n, i, j, f] * W[a, b, c, f]
            dW[a, b, c, f] += dy[n, i, j, f] * xp[n, i * S + a, j * S + b, c]
    return dxp[:, P : P + x.shape[1], P : P + x.shape[2]], dW, np.einsum("nijf->f", dy)


def by_full_convolution(dy, x, W, S, P):
    """dx as a convolution of the spread-out dy with the rotated kernel."""
    K_h, K_w, C_in, _ = W.shape
    xp = padded(x, P)
    H, W_p = xp.shape[1:3]
    spread = np.zeros((len(x), H + K_h - 1, W_p + K_w - 1, dy.shape[3]), dy.dtype)
    rows, columns = dy.shape[1:3]
    spread[:, K_h - 1 :: S, K_w - 1 :: S][:, :rows, :columns] = dy
    rotated = W[::-1, ::-1].transpose(0, 1, 3, 2)
    dxp = solutions.conv_forward(spread, rotated, np.zeros(C_in, x.dtype), 1, 0)
    dW = np.empty_like(W)
    for a, b in np.ndindex(K_h, K_w):
        seen = xp[:, a : a + (rows - 1) * S + 1 : S, b : b + (columns - 1) * S + 1 : S]
        dW[a, b] = np.tensordot(seen, dy, axes=([0, 1, 2], [0, 1, 2]))
    return dxp[:, P : H - P, P : W_p - P], dW, dy.sum((0, 1, 2))


def by_scatter(dy, x, W, S=1, P=0):
    """With np.add.at, and a list instead of a tuple."""
    xp = padded(x, P)
    i, j, a, b = np.ogrid[: dy.shape[1], : dy.shape[2], : W.shape[0], : W.shape[1]]
    h, w = i * S + a, j * S + b
    dxp = np.zeros_like(xp)
    np.add.at(dxp, (slice(None), h, w), np.einsum("nijf,abcf->nijabc", dy, W))
    dW = np.einsum("nijabc,nijf->abcf", xp[:, h, w], dy)
    end = -P or None
    return [dxp[:, P:end, P:end], dW, dy.reshape(-1, dy.shape[3]).sum(axis=0)]


OTHERWISE = [
    ("conv_backward", by_loops),
    ("conv_backward", by_full_convolution),
    ("conv_backward", by_scatter),
    ("relu_backward", lambda dy, x: np.where(x > 0, dy, 0)),
    ("relu_backward", lambda dy, x: dy * np.heaviside(x, 0)),
    ("dense_backward", lambda dy, x, W: (
        np.einsum("nq,pq->np", dy, W), np.einsum("np,nq->pq", x, dy), np.add.reduce(dy))),
    ("dense_forward", lambda x, W, b: np.tensordot(x, W, 1) + b),
    ("softmax", lambda z: 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)),
    ("momentum_step", lambda w, g, v, lr, momentum: (
        w + (momentum * v - lr * g), momentum * v - lr * g)),
    ("l2_penalty", lambda W, factor: (factor * np.vdot(W, W), W * (2 * factor))),
    ("dropout", lambda x, keep, rate: np.where(keep, x / (1 - rate), x.dtype.type(0))),
    ("neuron_backward", lambda dy, x, w: ([dy * one for one in w], [dy * one for one in x], dy)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), OTHERWISE)
def test_other_right_formulations_pass(name, function):
    answer = course.check(name, function)
    assert answer, str(answer)


def test_the_papers_form_of_adam_passes_with_a_remark():
    def adam(w, g, m, v, t, lr, beta_1, beta_2, epsilon):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        return w - lr * m_hat / (v_hat**0.5 + epsilon), m, v

    answer = course.check("adam_step", adam)
    assert answer.ok
    assert "algorithm 1 of the paper" in str(answer)


# -- wrong functions: the catalogue ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), SLIPS)
def test_every_mistake_of_the_catalogue_is_named_and_no_other(name, number):
    """Alone in a function that is right otherwise; so no two are taken for each other."""
    exercise = EXERCISES[name]
    slip = exercise.slips[number]
    k = exercise.outputs.index(slip.output)

    def wrong(*values):
        given = dict(zip(exercise.arguments, values))
        answers = list(exercise.right(**given))
        answers[k] = slip.wrong(**given, **slip.flags)
        return answers if len(answers) > 1 else answers[0]

    answer = course.check(name, wrong)
    assert not answer
    if answer.error:
        raise AssertionError(answer.error)
    # one answer wrong by a mistake that spoils several looks different for each, save its kind
    assert answer.kinds == [slip.kind], str(answer)
    (mistake,) = answer.mistakes
    assert (mistake.outputs, mistake.text) == ((slip.output,), slip.text)
    assert f"{slip.kind} in {slip.output}: " in str(answer)


# -- wrong functions, as people write them --------------------------------------------------------


def conv_backward(dy, x, W, S, P, *, mistake=""):
    """As a reader writes it, with one mistake."""
    K_h, K_w, _, C_out = W.shape
    N, H_out, W_out, _ = dy.shape
    xp = padded(x, P)
    dx, dW, db = np.zeros(xp.shape), np.zeros(W.shape), np.zeros(C_out)
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                h, w = i * S, j * S
                window = xp[n, h : h + K_h, w : w + K_w]
                to = (i, j) if mistake == "stride" else (h, w)
                for f in range(C_out):
                    kernel = W[..., f]
                    if mistake == "rotation":
                        kernel = kernel[::-1, ::-1]
                    back = kernel * dy[n, i, j, f]
                    there = dx[n, to[0] : to[0] + K_h, to[1] : to[1] + K_w]
                    if mistake == "overwritten" and f == 0:
                        there[...] = back
                    else:
                        there += back
                    if mistake == "last window":
                        dW[..., f] = window * dy[n, i, j, f]
                    else:
                        dW[..., f] += window * dy[n, i, j, f]
                    db[f] += dy[n, i, j, f]
    if mistake == "mean":
        dW /= N
    if mistake == "mean of all":
        dx, dW, db = dx / N, dW / N, db / N
    if mistake == "no bias":
        db = np.zeros(C_out)
    if mistake == "positions":
        db = dy.sum(axis=0)
    if mistake == "one number":
        db = dy.sum()
    if mistake == "padding kept":
        return dx, dW, db
    if mistake == "padding at the end":
        return dx[:, : x.shape[1], : x.shape[2]], dW, db
    if mistake == "padding at the start":
        return dx[:, 2 * P :, 2 * P :], dW, db
    dx = dx[:, P : P + x.shape[1], P : P + x.shape[2]]
    if mistake == "order":
        return dW, dx, db
    return dx, dW, db


WRITTEN = {
    "": [],
    "rotation": ["kernel not rotated"],
    "stride": ["stride ignored"],
    "overwritten": ["overwritten"],
    "last window": ["overwritten"],
    "mean": ["averaged over the batch"],
    "mean of all": ["averaged over the batch"] * 2,  # of dx, and with other words of dW and db
    "no bias": ["bias forgotten"],
    "positions": ["not summed over positions"],
    "one number": ["summed over the filters"],
    "padding kept": ["padding not removed"],
    "padding at the end": ["padding removed on the wrong side"],
    "padding at the start": ["padding removed on the wrong side"],
    "order": ["order of answers"],
}


@pytest.mark.parametrize("mistake", WRITTEN)
def test_a_readers_wrong_conv_backward_is_answered_by_the_right_name(mistake):
    answer = course.check(
        "conv_backward", lambda dy, x, W, S, P: conv_backward(dy, x, W, S, P, mistake=mistake)
    )
    assert answer.kinds == WRITTEN[mistake], str(answer)
    assert answer.ok == (not mistake)


def test_the_right_parts_of_a_wrong_answer_are_told():
    wrong = lambda *case: conv_backward(*case, mistake="rotation")  # noqa: E731
    answer = course.check("conv_backward", wrong)
    assert answer.right == ("dW", "db")
    (difference,) = answer.differences
    assert difference.output == "dx"
    assert len(difference.index) == 4
    assert "received" in str(answer)
    assert "x (1, 3, 3, 1)" in str(answer)  # the simplest case


def test_two_mistakes_at_once_are_both_named():
    def wrong(dy, x, W, S, P):
        turned = lambda *case: conv_backward(*case, mistake="stride")  # noqa: E731
        return turned(dy, x, W[::-1, ::-1], S, P)[0], *conv_backward(dy, x, W, S, P)[1:]

    answer = course.check("conv_backward", wrong)
    assert sorted(answer.kinds) == ["kernel not rotated", "stride ignored"]


def test_a_mistake_in_each_answer_is_named():
    def wrong(dy, x, W, S, P):
        dx = conv_backward(dy, x, W, S, P, mistake="padding kept")[0]
        dW = conv_backward(dy, x, W, S, P, mistake="mean")[1]
        return dx, dW, dy.sum(axis=(1, 2))

    answer = course.check("conv_backward", wrong)
    expected = ["padding not removed", "averaged over the batch", "not summed over the batch"]
    assert answer.kinds == expected


def test_exchanged_answers_are_named_beside_another_mistake():
    def wrong(dy, x, W, S, P):
        dx, dW, db = conv_backward(dy, x, W, S, P, mistake="rotation")
        return dW, dx, db

    answer = course.check("conv_backward", wrong)
    assert answer.kinds == ["order of answers", "kernel not rotated"]


def adam_with_two_mistakes(w, g, m, v, t, lr, beta_1, beta_2, epsilon):
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
    return w - lr * m / (np.sqrt(v) + epsilon), v, m


def test_exchanged_answers_of_one_shape_are_named():
    answer = course.check("momentum_step", lambda *a: solutions.momentum_step(*a)[::-1])
    assert answer.kinds == ["order of answers"]
    answer = course.check("adam_step", adam_with_two_mistakes)
    assert not answer
    assert "w: " in str(answer)


def pool_all_equal(dy, x, K, S):
    dx = np.zeros_like(x)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            window = x[:, i * S : i * S + K, j * S : j * S + K]
            mask = window == window.max(axis=(1, 2))[:, None, None]
            dx[:, i * S : i * S + K, j * S : j * S + K] += mask * dy[:, i, j][:, None, None]
    return dx


def pool_from_zero(x, K, S):
    N, H, W, C = x.shape
    y = np.zeros((N, (H - K) // S + 1, (W - K) // S + 1, C))
    for n, i, j, c in np.ndindex(y.shape):
        for a, b in np.ndindex(K, K):
            y[n, i, j, c] = max(y[n, i, j, c], x[n, i * S + a, j * S + b, c])
    return y


def adam(w, g, m, v, t, lr, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * np.square(g)
    m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
    return w - lr * m_hat / np.sqrt(v_hat + epsilon), m, v


def loss_by_one_hot(z, k):
    t = np.eye(z.shape[1])[k]
    p = np.exp(z - z.max(axis=1)[:, None])
    p /= p.sum(axis=1)[:, None]
    return -np.sum(t * np.log(p + 0.0)) / len(z), p - t


def im2col_channels_first(x, K_h, K_w, S, P):
    x = padded(x, P).transpose(0, 3, 1, 2)
    N, _, H, W = x.shape
    rows = [
        x[n, :, i : i + K_h, j : j + K_w].reshape(-1)
        for n in range(N)
        for i in range(0, H - K_h + 1, S)
        for j in range(0, W - K_w + 1, S)
    ]
    return np.array(rows)


@pytest.mark.parametrize(
    ("name", "function", "kinds"),
    [
        ("max_pool_backward", pool_all_equal, ["given to all equal cells"]),
        ("max_pool_forward", pool_from_zero, ["begins with 0"]),
        ("adam_step", adam, ["epsilon inside the root"]),
        ("softmax_cross_entropy", loss_by_one_hot, ["logarithm of 0", "1/N missing"]),
        ("im2col", im2col_channels_first, ["channels first"]),
        ("relu_backward", lambda dy, x: np.where(dy > 0, dy, 0), ["mask from dy"]),
        ("relu_backward", lambda dy, x: np.clip(dy, 0, None) * (x > 0), ["ReLU of dy"]),
        ("dropout", lambda x, keep, rate: np.where(keep, x, 0), ["not scaled"]),
        ("l2_penalty", lambda W, f: (f * np.sum(W * W) / 2, f * W), ["half", "2 missing"]),
        ("softmax", lambda z: np.exp(z) / np.exp(z).sum(-1)[:, None], ["overflow"]),
    ],
)
def test_wrong_functions_of_other_exercises_are_named(name, function, kinds):
    answer = course.check(name, function)
    assert not answer
    assert answer.kinds == kinds, str(answer)


# -- what the gradient checker adds ---------------------------------------------------------------


def test_a_factor_that_is_no_entry_is_named_by_the_gradient_checker():
    def doubled(dy, x, W):
        dx, dW, db = solutions.dense_backward(dy, x, W)
        return dx, 2 * dW, db

    answer = course.check("dense_backward", doubled)
    assert answer.kinds == ["factor"]
    assert "2 times the right one" in str(answer)


def test_a_transposed_dW_is_named_by_the_gradient_checker():
    def turned(dy, x, W, S, P):
        dx, dW, db = solutions.conv_backward(dy, x, W, S, P)
        return dx, dW.transpose(0, 1, 3, 2), db

    answer = course.check("conv_backward", turned)
    assert answer.kinds == ["transposed"]


def test_gradients_that_grow_from_call_to_call_are_found_though_the_first_is_right():
    calls = []

    def growing(dy, x):
        calls.append(1)
        return solutions.relu_backward(dy, x) * (1 if len(calls) < 5 else len(calls))

    answer = course.check("relu_backward", growing)
    assert not answer.ok
    assert answer.kinds == ["accumulated"]


def test_numbers_that_differ_from_call_to_call_are_found_though_the_first_are_right():
    calls = []

    def changing(dy, x):
        calls.append(1)
        return solutions.relu_backward(dy, x) + (len(calls) > 5)

    assert course.check("relu_backward", changing).kinds == ["not repeatable"]


def test_an_error_in_a_later_call_is_no_error_of_the_check():
    calls = []

    def tiring(dy, x):
        calls.append(1)
        if len(calls) > 4:
            raise RuntimeError("enough")
        return solutions.relu_backward(dy, x)

    answer = course.check("relu_backward", tiring)
    assert not answer.ok
    assert "RuntimeError: enough" in answer.error


# -- what cannot be compared ----------------------------------------------------------------------


def test_a_mistake_that_nothing_explains_is_told_by_its_numbers():
    def wrong(dy, x, W, S, P):
        dx, dW, db = solutions.conv_backward(dy, x, W, S, P)
        dW = dW.copy()
        dW[0, 0, 0, 0] += 1.5 * dy[-1, -1, -1, 0]
        return dx, dW, db

    answer = course.check("conv_backward", wrong)
    assert answer.kinds == []
    (difference,) = answer.differences
    assert (difference.output, difference.index) == ("dW", (0, 0, 0, 0))
    gap = abs(difference.received - difference.expected)
    assert (difference.count, difference.off) == (1, f"{gap:.2g}")
    assert "no common mistake explains it" in str(answer)


def test_what_the_function_raises_is_shown_as_its_own():
    def wrong(dy, x):
        return dy[99]

    answer = course.check("relu_backward", wrong)
    assert not answer
    assert "your function raised:" in str(answer)
    assert "IndexError: index 99 is out of bounds" in answer.error
    assert "in wrong" in answer.error
    assert "compare.py" not in answer.error
    assert answer.kinds == []


def test_an_error_in_a_later_case_comes_behind_a_mistake_in_the_simpler_ones():
    def no_padding(dy, x, W, S, P):
        return solutions.conv_backward(dy, x, W, S, 0)

    answer = course.check("conv_backward", no_padding)
    assert "ValueError" in answer.error
    assert str(answer).replace("\n    ", " ").endswith("P = 1; the 3 cases before it are right")

    def two_mistakes(dy, x, W, S, P):
        dx, dW, db = no_padding(dy, x, W, S, P)
        return dx, dW, 0.7 * db

    answer = course.check("conv_backward", two_mistakes)
    assert not answer.error
    assert answer.kinds == ["factor"]
    assert "factor in db: it is 0.7 times the right one" in str(answer)


def test_an_interrupt_is_not_caught():
    def interrupted(dy, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        course.check("relu_backward", interrupted)


def in_place(dy, x):
    dy *= x > 0
    return dy


def test_a_function_that_changes_its_inputs_is_told_which():
    answer = course.check("relu_backward", in_place)
    assert answer.kinds == ["input changed"]
    assert "it writes into dy" in str(answer)


def test_an_input_that_is_moved_and_moved_back_counts_as_unchanged():
    def numeric(f, x, h):
        dx = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            x[k] += h
            above = f(x)
            x[k] -= 2 * h
            dx[k] = (above - f(x)) / (2 * h)
            x[k] += h
        return dx

    assert course.check("numeric_gradient", numeric)


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (lambda dy, x, W: None, "nothing returned", "return dx, dW, db"),
        (lambda dy, x, W: (dy @ W.T, None, dy), "nothing returned", "dW is None"),
        (lambda dy, x, W: (dy @ W.T, x.T @ dy), "number of answers", "received 2 values"),
        (lambda dy, x, W: dy @ W.T, "number of answers", r"one array, of shape \(1, 2\)"),
        (lambda dy, x: dy, "arguments", r"yours takes \(dy, x\)"),
        (lambda dy, x, W: (dy @ W.T, "dW", dy), "type", "dW to be an array of real numbers.*str"),
        (lambda dy, x, W: ([[1], [1, 2]], x, dy), "type", "dx to be an array.*list"),
        (lambda dy, x, W: (dy @ W.T * 1j, x, dy), "type", "received dtype complex128"),
    ],
)
def test_what_is_no_answer_is_told(function, kind, words):
    answer = course.check("dense_backward", function)
    assert answer.kinds == [kind]
    assert re.search(words, str(answer).replace("\n    ", " "))


def test_a_wrong_shape_is_told():
    answer = course.check("relu_backward", lambda dy, x: np.zeros(99) + 1)
    assert answer.kinds == ["shape"]
    assert "shape in dx: expected an array of shape (3,), received (99,)" in str(answer)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(lambda dx: 0 * dx, "zero"), (lambda dx: -dx, "sign"),
     (lambda dx: dx.astype(np.float32), "float32"), (lambda dx: dx.astype(int), None)],
)  # fmt: skip
def test_simple_mistakes_of_any_answer_are_named(wrong, kind):
    function = lambda dcols, *sizes: wrong(solutions.col2im(dcols, *sizes))  # noqa: E731
    answer = course.check("col2im", function)
    assert answer.kinds == ([kind] if kind else [])
    assert not answer.ok


def test_nan_is_wrong():
    answer = course.check("relu_backward", lambda dy, x: np.full(x.shape, np.nan))
    assert not answer
    assert "received nan" in str(answer)


def test_buffers_in_float64_are_remarked_upon():
    def buffered(dy, x):
        dx = np.zeros(x.shape)
        dx[x > 0] = dy[x > 0]
        return dx

    answer = course.check("relu_backward", buffered)
    assert answer
    assert "dx comes out as float64" in str(answer)


def test_a_convolution_with_too_many_multiplications_is_told_so():
    direct = lambda x, w: np.array([x[0:3] @ w, x[1:4] @ w])  # noqa: E731
    answer = course.check("winograd", direct)
    assert answer.kinds == ["too many multiplications"]
    assert "with 6 multiplications" in str(answer)


def test_nothing_is_written_to_the_streams(capfd):
    course.check("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    course.check("relu_backward", lambda dy, x: dy / 0)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# -- the calls ------------------------------------------------------------------------------------


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one of neuron_backward, .*; received 'conv_backwards'.*"
                       "Did you mean 'conv_backward'"):  # fmt: skip
        course.check("conv_backwards", conv_backward)
    with pytest.raises(TypeError, match="name to be the name of an exercise.*received 3"):
        course.hint(3)
    with pytest.raises(TypeError, match="function to be the function itself.*conv_backward.dy"):
        course.check("conv_backward", (1, 2, 3))
    with pytest.raises(ValueError, match="number"):
        course.hint("conv_backward", 4)
    with pytest.raises(ValueError, match="expected name to be one of"):
        course.solution("backprop")


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_has_hints_and_a_solution_that_is_only_shown_when_asked_for(name):
    exercise = EXERCISES[name]
    assert str(course.hint(name)).startswith(f"{exercise.signature}: {exercise.task}\nHint 1 of ")
    assert len(exercise.hints) >= 2
    assert course.hint(name, len(exercise.hints)).endswith(exercise.hints[-1])
    assert repr(course.solution(name)).startswith(f"def {name}(")


def test_an_answer_is_shown_in_a_notebook():
    passed = course.check("relu_backward", solutions.relu_backward)
    assert "&#10003;" in passed._repr_html_()
    assert "relu_backward" in passed._repr_html_()
    wrong = course.check("relu_backward", lambda dy, x: dy * (x < 0))._repr_html_()
    assert "&#10007;" in wrong
    assert "not yet" in wrong
    raised = course.check("relu_backward", lambda dy, x: {}["<i>"])._repr_html_()
    assert "&lt;i&gt;" in raised
    assert "<i>" not in raised
    assert repr(passed) == str(passed)


def test_a_check_changes_neither_the_random_numbers_nor_the_names_of_what_comes_after_it():
    from minicnn.layers import Dense, names

    def drawn():
        layer = Dense(3, name="drawn")
        layer.build((None, 4))
        return layer.params["W"].tolist()

    def wrong(*arguments):
        return np.ones(5)

    minicnn.utils.set_random_seed(3)
    first = drawn()
    package._dense.cache_clear()
    package._layers.cache_clear()
    minicnn.utils.set_random_seed(3)
    before = {name: repr(count) for name, count in names._names.items()}
    for name in NAMES:
        course.check(name, getattr(solutions, name))
        course.check(name, wrong)
    assert {name: repr(count) for name, count in names._names.items()} == before
    assert drawn() == first


def test_the_package_is_loaded_when_it_is_asked_for():
    assert minicnn.course is course
    assert course.exercises() == NAMES


# -- the pages ------------------------------------------------------------------------------------


def page(number):
    (path,) = PAGES.glob(f"{number}-*.md")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_is_set_on_its_page_and_listed_in_the_index(name):
    exercise = EXERCISES[name]
    signature = exercise.signature.partition(" -> ")[0]
    assert f"`{signature}`" in page(exercise.page)
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in index.splitlines() if f"`{name}`" in line and "|" in line]
    assert row.startswith(f"| [{exercise.page}. ")


def test_pages_are_short_and_their_links_lead_somewhere():
    paths = sorted(PAGES.glob("*.md"))
    assert [path.name[0] for path in paths] == [*"12345678", "R"]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 150, path.name
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_picture_is_drawn_by_the_script_shown_on_a_page_and_small():
    script = (PAGES / "draw.py").read_text(encoding="utf-8")
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES.glob("*.md"))
    for path in (PAGES / "images").iterdir():
        assert f"def {path.stem}() -> Figure:" in script
        assert f"images/{path.name}" in pages
        assert path.stat().st_size < 100_000


@pytest.mark.slow
def test_the_script_draws_every_picture(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PAGES))
    draw = __import__("draw")
    monkeypatch.setattr(draw, "FOLDER", tmp_path)
    draw.main([])
    names = {path.name for path in (PAGES / "images").iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_an_answer_that_is_no_array_is_told_and_not_raised():
    class Tensor:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("call detach first")

    answer = course.check("relu_backward", lambda dy, x: Tensor())
    assert not answer
    assert "received Tensor" in str(answer)
