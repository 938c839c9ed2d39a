"""Characters to text: encodings, blocks, titles, rows as sentences, what every text has to be."""
