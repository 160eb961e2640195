"""HTTP/1.1 as a probe speaks it: one exchange, its transfer codings, patterns in its body."""
