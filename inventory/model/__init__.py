"""What is watched, by whom, against which goals, and who is told."""
