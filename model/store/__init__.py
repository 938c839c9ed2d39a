"""The append-only store of memory rows: segments, shards and the writer's state."""
