"""What is wrong now, and what was wrong and came to light late: one module a sort of problem."""
