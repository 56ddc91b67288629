"""The model of what ranks and threads cost, and the benchmark that measures what it needs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the benchmark is no part of the package
    sys.path.insert(0, str(ROOT))

from benchmarks import scaling, scaling_model  # noqa: E402
from benchmarks.scaling_model import ETHERNET, GOOD, INFINIBAND, RANKS, Cost, Network  # noqa: E402
from benchmarks.worker import environment  # noqa: E402

COST = Cost(parameters=173_738, size=64, shard=1.5e-3, alike=0.7e-3, add=20e-6)
FREE = Network("free", math.inf, 0.0)
PARTS = {"shards": [4.0, 1.0, 1.0, 2.0], "update": [1.0, 1.0], "rest": 0.25}


def test_one_rank_sends_no_messages():
    for network in (ETHERNET, INFINIBAND, FREE):
        assert scaling_model.communication(8, 1, COST, network) == 0
        assert scaling_model.step(512, 1, COST, network) == pytest.approx(8 * 1.5e-3 + 0.7e-3)
        assert scaling_model.efficiency(512, 1, COST, network) == 1


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_a_rank_with_one_node_sends_the_vector_almost_twice(ranks):
    sent = scaling_model.bytes_sent(ranks, ranks, 1024 * ranks)
    assert sent == 4 * 2 * 1024 * (ranks - 1)


def test_a_rank_with_several_nodes_sends_each():
    # of 6 shards, ranks 0 and 2 have a node of two, rank 1 two of them; of 5 on 2, shards 2, 3, 4
    assert scaling_model.bytes_sent(6, 3, 300) == 4 * (200 + 200)
    assert scaling_model.bytes_sent(5, 2, 300) == 4 * (2 * 150 + 150)


def test_each_call_has_a_message_for_each_other_rank():
    slow = Network("slow", math.inf, 1.0)
    for ranks, messages in ((2, 2 + 1), (8, 14 + 3), (9, 16 + 4)):
        waited = scaling_model.communication(16, ranks, COST, slow)
        added = scaling_model.communication(16, ranks, COST, FREE)
        assert waited - added == pytest.approx(messages)


@pytest.mark.parametrize("batch", [128, 512, 8192])
def test_steps_on_more_ranks(batch):
    free = [scaling_model.step(batch, ranks, COST, FREE) for ranks in RANKS]
    shards = -(-batch // COST.size)
    most = [-(-shards // ranks) for ranks in RANKS]
    assert most == sorted(most, reverse=True)
    for ranks, seconds in zip(RANKS, free):
        fast = scaling_model.step(batch, ranks, COST, INFINIBAND)
        slow = scaling_model.step(batch, ranks, COST, ETHERNET)
        assert seconds <= fast <= slow
        assert ranks == 1 or seconds < fast < slow
        assert scaling_model.efficiency(batch, ranks, COST, INFINIBAND) <= 1
    sending = [scaling_model.communication(256, ranks, COST, ETHERNET) for ranks in RANKS]
    assert sending == sorted(sending)


def test_the_batch_that_feeds_ranks_is_the_smallest():
    for ranks in (2, 8, 32):
        batch = scaling_model.batch_for(ranks, COST, INFINIBAND)
        assert scaling_model.efficiency(batch, ranks, COST, INFINIBAND) >= GOOD
        if batch > 128:
            assert scaling_model.efficiency(batch // 2, ranks, COST, INFINIBAND) < GOOD
    assert scaling_model.batch_for(2, COST, Network("mail", 1e9, 60.0)) is None
    assert scaling_model.most_useful(128, COST, Network("mail", 1e9, 60.0)) == 1
    assert scaling_model.most_useful(512, COST, INFINIBAND) == 8


SHARES = """
from benchmarks.scaling_model import shares
from minicnn.distributed.mpi import MPIGroup

for ranks in (1, 2, 3, 16):
    group = MPIGroup.__new__(MPIGroup)
    group.size = ranks
    for count in (1, 5, 8, 13):
        assert shares(count, ranks) == group.shares(count), (count, ranks)
"""


@pytest.mark.in_ci
def test_shares_are_those_of_the_library():
    pytest.importorskip("mpi4py")
    command = [sys.executable, "-c", SHARES]  # MPI begins where it is imported
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)


def test_jobs_on_threads():
    assert scaling_model.scheduled(PARTS["shards"], 1) == 8
    assert scaling_model.scheduled(PARTS["shards"], 2) == 4
    assert scaling_model.scheduled([1.0, 1.0, 1.0, 4.0], 2) == 5  # in turn, not the best way
    assert [scaling_model.threaded(PARTS, n) for n in (1, 2, 4)] == [10.25, 5.25, 5.25]


@pytest.mark.in_ci
def test_bytes_on_paper_are_those_that_are_sent():
    pytest.importorskip("mpi4py")
    command = [scaling.mpiexec(), "-n", "2", sys.executable, "-m", "benchmarks.scaling_worker"]
    run = subprocess.run(
        [*command, "steps", "tutorial", "--steps", "2", "--batch", "32"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(run.stdout.splitlines()[-1])
    figures = 8 * 4  # penalty, loss, and two sums of the accuracy, to the other rank
    assert found["bytes"] == scaling_model.bytes_sent(2, 2, 173_738) + figures
    assert 0 < found["mpi"] < 1


@pytest.mark.in_ci
def test_the_benchmark_writes_its_page(tmp_path):
    pytest.importorskip("mpi4py")
    assert scaling.main(["--quick", "--models", "tutorial", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "scaling.md").read_text()
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:2] == "| "}
    for name in ("minicnn, 1 thread", "minicnn, 2 ranks"):
        assert float(lines[name].split("|")[2]) > 0
    assert lines["minicnn, 2 ranks"].count("694,984") == 1
    assert {"8,192, InfiniBand", "tutorial, Ethernet", "128, 8"} <= set(lines)
    assert "{" not in text
    for name in ("scaling-ranks.png", "scaling-threads.png"):
        assert 0 < (tmp_path / "images" / name).stat().st_size < 100_000
