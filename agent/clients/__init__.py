"""Protocol clients that several kinds of probe share."""
