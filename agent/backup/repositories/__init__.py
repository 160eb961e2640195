"""What backup programs keep, one module a program."""
