"""How a network is run: cut into shards, spread over threads. Not needed to learn backprop."""
