"""Repositories of backup programs, one module a program."""
