"""What memories are told and asked, and in which order."""
