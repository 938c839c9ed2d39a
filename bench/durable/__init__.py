"""What durable memory costs: the parts of `bench.memory`."""
