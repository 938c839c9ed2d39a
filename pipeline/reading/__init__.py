"""From a question to the files, step and masks a reader is to see, and to an answer."""
