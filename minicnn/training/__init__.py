"""How a compiled model is trained and evaluated, and how it predicts.

plain.py        the training loop to read first: fifteen lines, the same numbers
loop.py         fit, evaluate, predict: epochs, batches, callbacks, figures
step.py         one step: shards through the plan, gradient, update
rollback.py     a step that fails changes nothing
finite.py       where a NaN came from
interrupts.py   Ctrl-C
"""
