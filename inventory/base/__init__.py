"""The ground floor: one of each thing that every program needs."""
