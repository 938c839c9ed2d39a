"""What durable memory costs: the parts of `bench.durable.run`."""
