"""How a compiled model is trained and evaluated, and how it predicts.

plain.py        the training loop to read first: fifteen lines, the same numbers
loop.py         fit, evaluate, predict: epochs, batches, callbacks, figures
feeds.py        the batches of a call, from arrays or from what gives them one by one
given.py        what the caller gave, as a feed
ahead.py        threads that make batches while others are used
run.py          where a fit is, for a process that goes on with it
step.py         one step: shards through the plan, gradient, update
rollback.py     a step that fails changes nothing
finite.py       where a NaN came from
interrupts.py   Ctrl-C
"""
