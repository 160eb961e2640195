"""What runs beside ingest and evaluator: goal cache, site power, circuits, backups."""
