"""Sockets under every protocol: datagrams, streams, name resolution, neighbours, kernel stamps."""
