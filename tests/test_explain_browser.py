"""The page of `minicnn.explain` in a real browser: clicks, keys, widths, and the numbers it shows.

They need Chromium, its driver (`apt-get install chromium chromium-driver`) and Selenium; without
one of them they are skipped by name.
"""

import math
import re
import shutil

import numpy as np
import pytest
from cases.layers import LAYERS
from explained import Page, by_global_average, every_view, in_networks, samples, walked

import minicnn
from minicnn import Sequential
from minicnn.layers import Activation, Conv2D, Dense, Flatten, InputLayer, MaxPooling2D
from minicnn.utils import set_random_seed

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.in_ci,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium"),
    pytest.mark.skipif(DRIVER is None, reason="there is no chromedriver"),
]

# What a reader does to look at a cell: open its step, if it is not open, choose direction and
# channel, click. Returns the cell's name, its value and the explanation.
CLICKS = """
return arguments[0].map(([step, direction, side, channel, row, column]) => {
  const open = document.querySelectorAll("#steps button")[step];
  const way = document.querySelector(`#direction button[value=${direction}]`);
  if (open.getAttribute("aria-current") !== "step") open.click();
  if (way.getAttribute("aria-pressed") !== "true") way.click();
  const find = (selector) => document.querySelector(`#picture [data-side=${side}] ${selector}`);
  if (channel !== null) {
    const thumb = find(`[data-channel="${channel}"]`);
    if (thumb) thumb.click();
  }
  const grid = find(".grid");
  const box = grid.getBoundingClientRect();
  grid.dispatchEvent(new MouseEvent("click", {
    bubbles: true,
    clientX: box.left + (column + 0.5) * box.width / grid.dataset.cols,
    clientY: box.top + (row + 0.5) * box.height / grid.dataset.rows,
  }));
  return [document.querySelector("#result .name").textContent,
          document.querySelector("#result .value").textContent,
          document.querySelector("#body").textContent];
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def opened(browser, path, width=1280):
    """The page at that width; a script's error fails the test."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")
    browser.get(path.as_uri())
    assert errors(browser) == []
    return Page(path)


def errors(browser):
    return [line["message"] for line in browser.get_log("browser")]


def written(tmp_path_factory, make, **options):
    model = make()
    x, y = samples(model)
    path = tmp_path_factory.mktemp("page") / "page.html"
    return minicnn.explain(model, x, y, path, training=True, image=1, **options)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return written(tmp_path_factory, every_view)


def chosen(browser):
    """Name of the chosen cell, found and read in one call: while the page plays, an element that
    was found may be replaced before it is read."""
    return browser.execute_script('return document.querySelector("#result .name").textContent')


def number(text):
    return math.nan if text == "not kept" else float(text)


def place_of(shape, index, keep=None):
    """Channel, row and column of a cell on the page."""
    if len(shape) == 3:
        return index[2], index[0], index[1]
    units = len(keep or range(shape[0]))
    columns = units if units <= 16 else math.ceil(math.sqrt(units))
    return None, *divmod(index[0] if keep is None else keep.index(index[0]), columns)


def drawn_cells(page, count, seed):
    """Random cells of the page's arrays: what to click, and the name and number to be shown."""
    rng = np.random.default_rng(seed)
    clicks, wanted = [], []
    while len(clicks) < count:
        k = int(rng.integers(len(page.stages)))
        direction, side = ("forward", "backward")[rng.integers(2)], "xy"[rng.integers(2)]
        key = side if direction == "forward" else f"d{side}"
        stage = page.stages[k]
        if stage[key] is None:
            continue
        array, keep = page.stage(k, key), stage[key].get("keep")
        where = tuple(int(n) for n in np.unravel_index(rng.integers(array.size), array.shape))
        index = where if keep is None else (*where[:-1], keep[where[-1]])
        clicks.append([k, direction, side, *place_of(stage[key]["shape"], index, keep)])
        letter = stage["letters"]["xy".index(side)]
        name = f"{letter if direction == 'forward' else 'd' + letter}[{','.join(map(str, index))}]"
        wanted.append((name, array[where]))
    order = sorted(range(count), key=lambda n: clicks[n][:2])  # each step is opened once
    return [clicks[n] for n in order], [wanted[n] for n in order]


def expect_equal(shown, wanted):
    assert [name for name, _, _ in shown] == [name for name, _ in wanted]
    values = [number(text) for _, text, _ in shown]
    np.testing.assert_allclose(values, [value for _, value in wanted], rtol=1e-5, atol=1e-12)


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_200_random_cells_show_the_arrays_numbers(browser, views, seed):
    page = opened(browser, views)
    clicks, wanted = drawn_cells(page, 200, seed)
    assert len({click[0] for click in clicks}) == len(page.stages)
    expect_equal(browser.execute_script(CLICKS, clicks), wanted)
    assert errors(browser) == []


def test_random_cells_of_a_page_that_keeps_some_channels(browser, tmp_path_factory):
    def wide():
        set_random_seed(9)
        return Sequential(
            [
                Conv2D(24, 3, padding="same", activation="relu", input_shape=(12, 12, 1)),
                Conv2D(32, 3, activation="relu"),
                MaxPooling2D(2),
                Flatten(),
                Dense(40, activation="relu"),
                Dense(10, activation="softmax"),
            ]
        )

    page = opened(browser, written(tmp_path_factory, wide, megabytes=0.22))
    assert page.model["share"] < 1
    assert "too large" in browser.find_element(By.CSS_SELECTOR, "header").text
    clicks, wanted = drawn_cells(page, 100, 3)
    shown = browser.execute_script(CLICKS, clicks)
    expect_equal(shown, wanted)
    told = " ".join(body for _, _, body in shown)
    assert "the channels that are not kept, together" in told
    assert "NaN" not in told
    assert errors(browser) == []


@pytest.mark.parametrize("make", [every_view, by_global_average])
def test_the_gradient_of_a_kernel_is_the_layer_s(browser, tmp_path, make):
    model = make()
    x, y = samples(model, 1)
    grads = {one["layer"].name: one["grads"] for one in walked(model, x, y, False)}
    page = opened(browser, minicnn.explain(model, x, y, tmp_path / "a.html"))
    rng = np.random.default_rng(4)
    for k, stage in enumerate(page.stages):
        if stage["view"] not in ("convolution", "dense"):
            continue
        dW = grads[stage["name"].split(" / ")[-1]]["W"]
        clicks, wanted = [], []
        for _ in range(12):
            *_, f = index = tuple(int(rng.integers(n)) for n in dW.shape)
            # choose the filter or unit, and for a convolution the input channel, by a click each
            clicks.append(
                [
                    k,
                    "backward",
                    "y",
                    *place_of(stage["shapes"][1], (0, 0, f)[-len(stage["shapes"][1]) :]),
                ]
            )
            if dW.ndim == 4:
                per_group = stage["shapes"][1][2] // stage["settings"]["groups"]
                c = index[2] + f // per_group * rows_of(stage)
                clicks.append([k, "backward", "x", c, 0, 0])
                clicks.append([k, "backward", "w", None, index[0], index[1]])
            else:
                clicks.append([k, "backward", "w", *place_of([dW.shape[0]], index)])
            wanted.append((f"dW[{','.join(map(str, index))}]", dW[index]))
        steps = len(clicks) // len(wanted)
        shown = browser.execute_script(CLICKS, clicks)[steps - 1 :: steps]
        assert [name for name, _, _ in shown] == [name for name, _ in wanted]
        values = [number(text) for _, text, _ in shown]
        np.testing.assert_allclose(values, [v for _, v in wanted], rtol=1e-4, atol=2e-6)


def rows_of(stage):
    return stage["shapes"][0][2] // stage["settings"]["groups"]


def test_both_ways_to_the_gradient_of_an_input_give_its_number(browser, views):
    page = opened(browser, views)
    rng = np.random.default_rng(6)
    for k, stage in enumerate(page.stages):
        if stage["view"] != "convolution":
            continue
        dx = page.stage(k, "dx")
        cells = [tuple(int(rng.integers(n)) for n in dx.shape) for _ in range(20)]
        clicks = [[k, "backward", "x", *place_of(stage["shapes"][0], cell)] for cell in cells]
        for cell, (_, _, body) in zip(cells, browser.execute_script(CLICKS, clicks)):
            one, other, layer = (
                float(re.search(rf"{words}(-?[\d.]+(e-?\d+)?)", body)[1])
                for words in (
                    "shares of the windows",
                    "rotated kernel(?!P)",
                    "the layer's backward",
                )
            )
            np.testing.assert_allclose([one, other], dx[cell], rtol=2e-4, atol=1e-6)
            assert layer == pytest.approx(dx[cell], rel=1e-5)


def test_products_and_bias_sum_up_to_the_output(browser, views):
    page = opened(browser, views)
    rng = np.random.default_rng(7)
    for k, stage in enumerate(page.stages):
        if stage["view"] not in ("convolution", "dense"):
            continue
        z = page.stage(k, "y")
        cells = [tuple(int(rng.integers(n)) for n in z.shape) for _ in range(10)]
        clicks = [[k, "forward", "y", *place_of(stage["shapes"][1], cell)] for cell in cells]
        for cell, (_, _, body) in zip(cells, browser.execute_script(CLICKS, clicks)):
            assert "not kept" not in body
            bias, total, value = re.search(
                r"b\[\d+\] \+ sum of \w+ = (\S+) \+ (\S+) = (-?[\d.e-]+)", body
            ).groups()
            assert float(bias) + float(total.strip("()")) == pytest.approx(z[cell], abs=2e-5)
            assert float(value) == pytest.approx(z[cell], rel=1e-5)


def test_pooling_sends_the_gradient_to_the_winner(browser, views):
    page = opened(browser, views)
    k = page.find("max_pooling")
    dx = page.stage(k, "dx")
    cells = [tuple(map(int, cell)) for cell in np.argwhere(dx)[:10]]
    cells += [tuple(map(int, cell)) for cell in np.argwhere(dx == 0)[:10]]
    clicks = [[k, "backward", "x", *place_of(dx.shape, cell)] for cell in cells]
    for cell, (_, _, body) in zip(cells, browser.execute_script(CLICKS, clicks)):
        assert ("the largest in y[" in body) == bool(dx[cell])


def test_relu_and_the_end_say_what_happens(browser, views):
    page = opened(browser, views)
    k, end = page.find("relu"), len(page.stages) - 1
    z = page.stage(k, "x")
    cells = [tuple(map(int, np.argwhere(gate)[0])) for gate in (z > 0, z < 0)]
    clicks = [[k, "backward", "x", *place_of(z.shape, cell)] for cell in cells]
    clicks.append([end, "backward", "x", None, 0, page.model["label"]])
    opens, closed, last = (body for *_, body in browser.execute_script(CLICKS, clicks))
    assert "goes through" in opens
    assert "stops here" in closed
    assert "p - t" in last
    assert "- 1 =" in last


def test_every_cell_of_every_view_can_be_explained(browser, views):
    page = opened(browser, views)
    clicks = []
    for k, stage in enumerate(page.stages):
        for direction in ("forward", "backward"):
            for side, key in (("x", "x"), ("y", "y")):
                key = key if direction == "forward" else f"d{key}"
                if stage[key] is not None:
                    shape = stage[key]["shape"]
                    corner = tuple(n - 1 for n in shape)
                    clicks.append([k, direction, side, *place_of(shape, corner)])
    for name, value, body in browser.execute_script(CLICKS, clicks):
        assert name
        assert value not in ("", "not kept")
        assert "NaN" not in body
        assert "undefined" not in body
    assert errors(browser) == []


# -- use ------------------------------------------------------------------------------------------


def test_the_page_says_which_pass_it_is(browser, views, tmp_path):
    opened(browser, views)
    head = browser.find_element(By.CSS_SELECTOR, "header").text
    assert "Training pass: batch normalization takes the mean and variance of this batch" in head
    assert "image 1 of a batch of 4" in head
    model = every_view()
    opened(browser, minicnn.explain(model, samples(model)[0], path=tmp_path / "a.html"))
    assert "Inference pass" in browser.find_element(By.CSS_SELECTOR, "header").text
    backward = browser.find_element(By.CSS_SELECTOR, "#direction [value=backward]")
    assert not backward.is_enabled()
    assert "needs a target" in browser.find_element(By.ID, "direction").text


def test_a_mouse_and_the_keys_choose_cells(browser, views):
    page = opened(browser, views)
    k = page.find("convolution")
    browser.find_elements(By.CSS_SELECTOR, "#steps button")[k].click()
    grid = browser.find_element(By.CSS_SELECTOR, "#picture [data-side=y] .grid")
    webdriver.ActionChains(browser).move_to_element(grid).click().perform()
    i, j, f = map(int, re.findall(r"\d+", chosen(browser)))
    assert (i, j) == (page.stages[k]["shapes"][1][0] // 2, page.stages[k]["shapes"][1][1] // 2)
    grid.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP)
    assert chosen(browser) == f"z[{i - 1},{j + 1},{f}]"
    value = browser.find_element(By.CSS_SELECTOR, "#result .value").text
    assert float(value) == pytest.approx(page.stage(k, "y")[i - 1, j + 1, f], rel=1e-5)
    assert browser.switch_to.active_element == grid


def test_all_can_be_reached_with_tab(browser, views):
    page = opened(browser, views)
    browser.find_elements(By.CSS_SELECTOR, "#steps button")[page.find("convolution")].click()
    reached = []
    for _ in range(20):
        active = browser.switch_to.active_element
        reached.append(active.get_attribute("aria-label") or active.text)
        active.send_keys(Keys.TAB)
    text = "\n".join(reached)
    for part in ("Forward", "Backward", "Play", "x, 13 rows", "W[:,:", "z, 7 rows", "channel "):
        assert part in text
    steps = browser.find_element(By.CSS_SELECTOR, "#steps [aria-current=step]")
    steps.send_keys(Keys.ARROW_RIGHT)
    assert "ReLU" in browser.find_element(By.CSS_SELECTOR, "#step h2").text
    assert "ReLU" in browser.switch_to.active_element.text


def test_what_can_be_used_has_a_name(browser, views):
    opened(browser, views)
    nameless = browser.execute_script(
        """return [...document.querySelectorAll("canvas, button, [tabindex], nav, section")].filter(
             (one) => !one.getAttribute("aria-label") && !one.textContent.trim()
                      && one.getAttribute("aria-hidden") !== "true").map((one) => one.outerHTML)"""
    )
    assert nameless == []
    live = browser.find_element(By.ID, "result")
    assert live.get_attribute("aria-live") == "polite"


def test_play_moves_the_window(browser, views):
    page = opened(browser, views)
    browser.find_elements(By.CSS_SELECTOR, "#steps button")[page.find("convolution")].click()
    before, play = chosen(browser), browser.find_element(By.ID, "play")
    play.click()
    assert play.text == "Stop"
    WebDriverWait(browser, 60).until(lambda _: chosen(browser) != before)
    play.click()
    assert play.text == "Play"


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser, views, width):
    page = opened(browser, views, width)
    wide = browser.execute_script(
        """const found = [];
        document.querySelectorAll("#steps button").forEach((step, k) => {
          for (const direction of ["forward", "backward"]) {
            step.click();
            document.querySelector(`#direction button[value=${direction}]`).click();
            for (const one of document.querySelectorAll("details")) one.open = true;
            if (document.documentElement.scrollWidth > innerWidth) found.push([k, direction]);
          }
        });
        return [innerWidth, found];"""
    )
    assert wide == [width, []]
    assert len(page.stages) > 10


def test_nothing_is_asked_of_any_server(browser, views):
    opened(browser, views)
    asked = "return performance.getEntriesByType('resource').map((one) => one.name)"
    assert browser.execute_script(asked) == []


# Clicks one cell of each panel of each step in both directions; returns what looks wrong.
ALL_PANELS = """
const found = [];
document.querySelectorAll("#steps button").forEach((step, k) => {
  for (const direction of ["forward", "backward"]) {
    step.click();
    document.querySelector(`#direction button[value=${direction}]`).click();
    for (const side of ["x", "w", "y"]) {
      const grid = document.querySelector(`#picture [data-side=${side}] .grid`);
      if (!grid) continue;
      const box = grid.getBoundingClientRect();
      grid.dispatchEvent(new MouseEvent("click", {
        bubbles: true,
        clientX: box.left + 0.5 * box.width / grid.dataset.cols,
        clientY: box.top + 0.5 * box.height / grid.dataset.rows,
      }));
      const told = document.querySelector("#told").textContent;
      if (/NaN|undefined|not kept/.test(told)) found.push([k, direction, side, told]);
    }
  }
});
return found;
"""


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_every_layer_of_the_library_can_be_looked_at(browser, tmp_path, every):
    for cls in [cls for cls in LAYERS if cls is not InputLayer][::every]:
        for model, x in in_networks(cls):
            y = np.arange(len(x)) % 2
            opened(browser, minicnn.explain(model, x, y, tmp_path / "a.html", training=True))
            assert browser.execute_script(ALL_PANELS) == []
            assert errors(browser) == []


def test_steps_behind_the_end_of_the_gradient_have_none(browser, tmp_path):
    model = Sequential([Dense(3, activation="softmax", input_shape=(2,)), Activation("linear")])
    opened(browser, minicnn.explain(model, np.ones((1, 2)), [1], tmp_path / "a.html"))
    assert browser.execute_script(ALL_PANELS) == []
    assert errors(browser) == []
    assert "no gradient here" in browser.find_element(By.ID, "picture").text


def test_numbers_that_are_not_finite_are_written_out(browser, tmp_path):
    model = Sequential([Dense(2, dtype="float64", input_shape=(1,), kernel_initializer="ones")])
    model.compile("sgd", "mse")
    page = minicnn.explain(model, np.array([[1e200]]), np.zeros((1, 2)), tmp_path / "a.html")
    opened(browser, page)
    shown = browser.execute_script(CLICKS, [[0, "forward", "y", None, 0, 0]])
    assert shown[0][:2] == ["y[0]", "inf"]
    head = browser.find_element(By.TAG_NAME, "header").text
    assert "Loss (mean_squared_error): not finite" in head
    assert errors(browser) == []
