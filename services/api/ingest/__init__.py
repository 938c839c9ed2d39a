"""Documents by HTTP: request bodies, uploads, and the processes that parse them."""
