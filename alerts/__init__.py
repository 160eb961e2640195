"""What is wrong, in words: findings, and (from them) incidents and mail. Pure; the collector stores and drives it."""
