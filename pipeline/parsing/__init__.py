"""Files of any format to plain text with sections."""
