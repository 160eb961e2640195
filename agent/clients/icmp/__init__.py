"""Echo requests: sockets with kernel stamps where there are any, icmplib elsewhere."""
