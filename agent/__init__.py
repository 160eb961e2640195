"""One agent at one site: looks, keeps every result on disk, and pushes until a collector has it."""
