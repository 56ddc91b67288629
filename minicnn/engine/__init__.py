"""How a network is run: cut into shards, spread over threads. Nobody needs to read it to learn."""
