"""YAML text to typed values, every mistake with file, line and key."""
