"""Repair, compaction, rebuilding, and the removal of files that nobody needs."""
