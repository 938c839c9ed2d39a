"""From files to documents: text, HTML, Word, PDF, tables and records."""
