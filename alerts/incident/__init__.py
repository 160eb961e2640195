"""What is wrong, remembered: the incident state machine, pure."""
