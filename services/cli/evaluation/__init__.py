"""Commands that measure a checkpoint: `mplus eval` and `mplus parity`."""
