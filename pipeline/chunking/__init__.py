"""From a document to the chunks that are memorized."""
