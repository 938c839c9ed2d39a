"""What went wrong, as its sender may know it: errors, their statuses, problem details."""
