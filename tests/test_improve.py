"""examples/improve.py, on so few drawn images that it takes a moment."""

import importlib.util
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

from minicnn.datasets import synthetic_fashion

PATH = Path(__file__).parent.parent / "examples" / "improve.py"


@pytest.fixture
def improve(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("improve", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    few = synthetic_fashion.load_data(n_train=100, n_test=30)
    monkeypatch.setattr(module.synthetic_fashion, "load_data", lambda: few)

    def run(*arguments):
        where = "--data", "synthetic", "--output", tmp_path, "--epochs", 1
        monkeypatch.setattr(sys, "argv", ["improve.py", *map(str, (*where, *arguments))])
        return module.main()

    run.module = module
    yield run
    mpl.pyplot.close("all")


def test_ways_side_by_side(improve, tmp_path, capsys):
    assert improve("--only", "baseline", "augmentation", "one cycle") == 0
    out = capsys.readouterr().out
    assert "drawn images: 80 images, epochs: 1, seed: 42" in out
    table = out.split("seconds\n")[1].split("\n\n")[0]
    rows = {line[:20].strip(): line[20:].split() for line in table.splitlines()}
    assert set(rows) == {"baseline", "augmentation", "one cycle"}
    assert rows["baseline"][2] == rows["augmentation"][2] == "173,738"
    assert "augmentation: every image mirrored or not" in out
    assert (tmp_path / "improve.png").stat().st_size > 10_000


@pytest.mark.slow
def test_every_way(improve, capsys):
    assert improve() == 0
    out = capsys.readouterr().out
    for way in improve.module.WAYS:
        assert f"\n{way} " in out


@pytest.mark.slow
def test_the_best_recipe(improve, tmp_path, capsys):
    assert improve("--best") == 0
    out = capsys.readouterr().out
    assert "Test accuracy: " in out
    assert "279,722 parameters" in out
    assert out.count("Ankle boot") == 1
    for picture in ("wrong.png", "confusion.png", "best_curves.png"):
        assert (tmp_path / picture).stat().st_size > 5_000


def test_an_epoch_is_the_least(improve, capsys):
    with pytest.raises(SystemExit):
        improve("--epochs", -1, "--quick")
