"""From a source to the log: parsing, chunking, appending, and waiting for the writers."""
