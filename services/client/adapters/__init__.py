"""The service as the memory of other people's frameworks; each module needs its own framework."""
