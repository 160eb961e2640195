"""What a store has to be able to do: one protocol a subject, put together in ``store``."""
