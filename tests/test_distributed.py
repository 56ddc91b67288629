"""Training on several ranks: the bits of one process, and the end of all where one fails.

The scripts are in `distributed/`; each prints one line of JSON a rank on standard error.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minicnn

pytest.importorskip("mpi4py")
MPIEXEC = Path(sys.executable).with_name("mpiexec")
if not MPIEXEC.exists():
    pytest.skip("no mpiexec beside Python", allow_module_level=True)

pytestmark = pytest.mark.in_ci
SCRIPTS = Path(__file__).parent / "distributed"
ROOT = Path(__file__).parent.parent


def command(script, *arguments, ranks):
    """The command line; without MPI for None."""
    run = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    return run if ranks is None else [str(MPIEXEC), "-n", str(ranks), *run]


def environment(**more):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def ended(script, *arguments, ranks, cwd=None, **more):
    """The process of a whole run."""
    return subprocess.run(
        command(script, *arguments, ranks=ranks),
        capture_output=True, text=True, timeout=300, cwd=cwd, env=environment(**more),
    )  # fmt: skip


def answers(script, *arguments, ranks, cwd=None):
    """What each rank has said, by rank, and standard output."""
    run = ended(script, *arguments, ranks=ranks, cwd=cwd)
    assert run.returncode == 0, run.stderr
    said = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert len(said) == (ranks or 1)
    return sorted(said, key=lambda one: one["rank"]), run.stdout


@pytest.fixture(scope="module")
def one_process():
    return answers("train.py", ranks=None)[0][0]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_weights_history_and_predictions_are_those_of_one_process(ranks, one_process):
    """The tutorial's model with dropout, batch normalization, augmentation, accumulated gradients,
    averages, float64, a user's own metric, data set and validation."""
    every, output = answers("train.py", ranks=ranks)
    for said in every:
        assert {**said, "rank": 0} == one_process
    assert output.count("Epoch 2/2") == len(one_process["models"]), "more than one rank prints"


def test_a_rank_reads_only_its_share_of_a_data_set():
    every, _ = answers("share.py", ranks=4)
    for said in every:
        assert len(said["items"]) == 8 // 4, said
        assert said["pages of the memmap"] < 0.5
    assert sorted(item for said in every for item in said["items"]) == list(range(8))


def test_a_rank_opens_only_its_share_of_a_folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (72, 8, 8), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        folder = tmp_path / f"class {number % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    [alone], _ = answers("folder.py", tmp_path, ranks=None)
    for ranks in (2, 3):
        every, _ = answers("folder.py", tmp_path, ranks=ranks)
        for said in every:
            assert {**said, "opened": 0, "rank": 0} == {**alone, "opened": 0}
            # a batch to know what the model is built for, and two that are made ahead at the end
            assert said["opened"] <= alone["opened"] / ranks + 16 * 3


def test_more_ranks_than_shards():
    run = ended("idle.py", ranks=3)
    assert run.returncode == 0, run.stderr
    assert "a batch of 16 is cut into 2 shards, so 1 of 3 ranks have nothing to do" in run.stderr
    assert run.stderr.count("nothing to do") == 1
    lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert len({line["weights"] for line in lines}) == 1


def test_the_faster_sum_agrees_within_rounding():
    (exact, *_), _ = answers("sums.py", "exact", ranks=2)
    (faster, *_), _ = answers("sums.py", "faster", ranks=2)
    assert faster["loss"] == pytest.approx(exact["loss"], rel=1e-5)


def test_rank_0_decides_writes_and_prints(tmp_path):
    every, output = answers("callbacks.py", ranks=2, cwd=tmp_path)
    assert [said["epochs"] for said in every] == [3, 3], "rank 0's clock ends all"
    assert len({said["rate"] for said in every}) == 1
    assert every[0]["hooks of the callback that writes"] > 0
    assert every[1]["hooks of the callback that writes"] == 0
    assert output.splitlines().count("said once") == 1
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert len(log) == 1 + 3
    assert minicnn.models.load_model(tmp_path / "saved.keras").built


def test_every_step_is_taken_with_rank_0s_learning_rate():
    every, _ = answers("rates.py", ranks=2)
    alone, _ = answers("rates.py", ranks=None)  # with the rates of rank 0
    assert [said["weights"] for said in every] == [alone[0]["weights"]] * 2


def test_rank_0_ends_evaluate_and_predict_for_all():
    every, _ = answers("stops.py", ranks=2)
    assert [said["predicted"] for said in every] == [50, 50]
    assert every[0]["scores"] == every[1]["scores"]


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("raises in a callback", "ValueError: of rank 1 alone"),
        ("raises in the script", "ValueError: of rank 1 alone"),
        ("raises and catches it", "ValueError: of rank 1 alone"),
        ("raises in a data set", "ValueError: of rank 1 alone"),
        ("has a NaN in its share", "became NaN or infinite"),
        ("is killed", "Killed (signal 9)"),
        ("exits in a callback", "SystemExit: 3"),
        ("exits in the script", "rank 1 of 3 has ended"),
    ],
)
def test_a_rank_that_fails_ends_all(way, message):
    run = ended("fails.py", way, ranks=3)
    assert run.returncode != 0
    assert message in run.stderr + run.stdout
    failed = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    began = min(one["fails at"] for one in failed)
    assert time.time() - began < 10


def test_inputs_that_predict_refuses_end_no_rank():
    every, _ = answers("refused.py", ranks=2)
    assert len({said["outputs"] for said in every}) == 1
    for said in every:
        assert all("x to be finite, received nan at index [200" in one for one in said["said"])


def test_all_begin_with_what_rank_0_has_trained_alone():
    every, _ = answers("alone.py", ranks=3)
    assert len({said["weights"] for said in every}) == 1


def test_another_model_on_a_rank_is_refused():
    run = ended("alone.py", "other model", ranks=2)
    assert run.returncode != 0
    assert "expected the same model on all ranks, received one with parameters" in run.stderr


@pytest.mark.parametrize("call", ["fit", "validation", "evaluate", "predict"])
def test_other_data_on_a_rank_are_refused(call):
    run = ended("other_data.py", call, ranks=2)
    assert run.returncode != 0
    assert "expected the same data on all ranks" in run.stderr


@pytest.mark.parametrize(("before", "after"), [(4, 2), (1, 3)])
def test_a_killed_run_goes_on_with_another_number_of_ranks(before, after, tmp_path):
    whole, _ = answers("backup.py", tmp_path / "whole", ranks=None)
    process = subprocess.Popen(
        command("backup.py", tmp_path / "cut", "die", ranks=before),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.wait(120) != 0
    assert (tmp_path / "cut" / "latest.keras").exists()
    every, _ = answers("backup.py", tmp_path / "cut", ranks=after)
    for said in every:
        assert said["weights"] == whole[0]["weights"]
        assert said["history"] == whole[0]["history"]
        assert said["epochs here"] < whole[0]["epochs here"]


@pytest.mark.parametrize("arguments", [["without init"], []])
def test_a_script_is_run_with_or_without_the_line(arguments, one_process):
    run = subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, "-m", "minicnn.distributed",
         str(SCRIPTS / "train.py"), *arguments],
        capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    assert [one["models"] for one in said] == [one_process["models"]] * 2


def test_init_outside_of_mpiexec_changes_nothing():
    minicnn.distributed.init()
    assert (minicnn.distributed.rank(), minicnn.distributed.size()) == (0, 1)
    minicnn.distributed.barrier()
    with pytest.raises(TypeError, match="exact"):
        minicnn.distributed.init(exact="yes")


def test_the_message_where_mpi4py_is_missing():
    run = ended("train.py", ranks=1, MINICNN_WITHOUT_MPI4PY="1")
    assert run.returncode != 0
    assert "pip install 'minicnn[mpi]'" in run.stderr


def test_ctrl_c_ends_all_ranks():
    process = subprocess.Popen(
        command("fails.py", "waits for ctrl-c", ranks=2),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    with process:
        for line in process.stderr:
            if line.startswith("{"):
                break
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert time.monotonic() - began < 10
