"""Mail servers, asked as a mail program asks them: SMTP to hand mail over, IMAP to find it."""
