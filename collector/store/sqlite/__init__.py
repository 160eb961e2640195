"""The store in one SQLite file: ``database`` owns the file and its one writer, ``store`` binds a transaction's
repositories to it, ``migrations`` are numbered SQL files."""
