"""minicnn beside its peers, on the same data, in the same run: agreement first, then time.

    make bench                                 # every row and curve, under 20 minutes on two cores
    python -m benchmarks --quick               # a minute, few repetitions: does everything run?
    python -m benchmarks --rows train_tutorial predict_deeper --rounds 9
    python -m benchmarks.profile_step          # where the time of one step goes: docs/profile.md
    python -m benchmarks.scaling               # what threads and ranks bring: docs/scaling.md

What is where:

    rows.py          the rows of the table, with their targets and how each is measured
    networks.py      the two models as data, and the weights in each framework's layout
    frameworks/      one file a framework: the same few calls, in its own best way
    worker.py        one process for one framework; `Worker` talks to it, `serve` answers
    agreement.py     the check that has to pass before anything is timed
    rounds.py        settings by trial, alternating order, medians, ratios round by round
    processes.py     what is measured from outside: imports, first steps, whole runs, memory
    curves.py        how the cost grows, and its pictures
    machine.py       what this machine is and what it can do at best
    report.py        docs/benchmarks.md from the stored results of all runs
"""
