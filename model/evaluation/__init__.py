"""What a checkpoint remembers, finds and knows, measured through the product's own path."""
