"""TLS as a probe sees it: contexts, the chain as sent, stapled revocation."""
