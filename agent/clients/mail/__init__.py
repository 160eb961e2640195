"""Mail clients for probes: SMTP to hand mail over, IMAP to find it."""
