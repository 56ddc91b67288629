"""Training on several processes, on one machine or many: `mpiexec -n 8 python train.py`.

    import minicnn
    minicnn.distributed.init()          # the one line more; all else stays as it is

Every rank runs the whole script. `fit`, `evaluate` and `predict` cut each batch into the same
shards as on one process and deal them out, so a rank reads and computes only its share; gradients
are summed as the same tree; and all ranks take the same step. So the weights and the history are
those of one process to the last bit, on any number of ranks, where the machines have one kind of
CPU and equal versions. `init` compares that.

    mpiexec -n 4 python -m minicnn.distributed train.py     without the line

The extra `minicnn[mpi]` installs mpi4py and MPICH. docs/distributed.md says what ranks share, what
rank 0 alone does, and when more ranks pay.
"""

from __future__ import annotations

import os

from minicnn import checks
from minicnn.engine import ranks

__all__ = ["alone", "barrier", "init", "rank", "size"]

alone = ranks.alone


def rank() -> int:
    """The number of this process, from 0; 0 without `init`."""
    return ranks.group().rank


def size() -> int:
    """How many processes work together; 1 without `init`."""
    return ranks.group().size


def barrier() -> None:
    """Wait until all ranks have come here: before a file is read that rank 0 writes, say."""
    ranks.group().objects(None)


def init(*, exact: bool = True) -> None:
    """Let `fit`, `evaluate` and `predict` work with all processes that `mpiexec` has started.

    Where `mpiexec` has started one, or none has, nothing changes. From here on

    - standard output of all ranks but 0 goes nowhere, and only rank 0 saves models and calls the
      callbacks that write files;
    - the random seed is the same everywhere: the one of `set_random_seed`, else one that is drawn;
    - an error that a rank does not catch ends all of them;
    - each rank has its part of the machine's cores, unless it is pinned or a number of threads is
      set.

    Parameters
    ----------
    exact : bool
        With False gradients are summed in MPI's own order, by Allreduce: the result then depends on
        the number of ranks, in its last bits.

    Raises
    ------
    ModuleNotFoundError
        Where mpiexec has started several processes and mpi4py is not installed.
    RuntimeError
        Where a run of several has begun already, with another `exact`.
    """
    exact = checks.boolean(exact, "exact", "distributed.init")
    if size() > 1:  # as by `python -m minicnn.distributed`, for a script that has the line, too
        if exact != ranks.group().exact:
            raise RuntimeError(
                f"distributed.init: expected exact={ranks.group().exact}, as the run has begun, "
                f"received {exact}"
            )
        return
    if not _started_by_mpi():
        return
    try:
        from minicnn.distributed import mpi
    except ImportError as error:
        raise ModuleNotFoundError(
            "distributed.init: expected mpi4py and an MPI library, which mpiexec's processes talk "
            f"through: {error}. Install them: pip install 'minicnn[mpi]'"
        ) from error
    mpi.start(exact=exact)


def _started_by_mpi() -> bool:
    """Whether an mpiexec has started this process: MPICH, Intel, Open MPI, Slurm's srun."""
    names = "PMI_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS"
    return any(name in os.environ for name in names)
