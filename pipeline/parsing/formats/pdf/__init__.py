"""PDF by PDFium: pages, their lines in reading order, what is hidden, and scans."""
