"""Boards for Grafana: one source in Python, JSON checked in for each language (:mod:`deploy.grafana.make`)."""
