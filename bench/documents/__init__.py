"""How much of real files' words is read: ours against pdftotext and other libraries."""
