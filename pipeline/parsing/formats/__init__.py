"""One function for each format, or group of formats, that is one document."""
