"""Repair, compaction, rebuilding, and the removal of what nobody needs."""
