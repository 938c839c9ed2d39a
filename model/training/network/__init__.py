"""The network in training: adapters, dense passes, and where weights begin."""
