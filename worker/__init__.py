"""The engine: accepts events, routes them, claims deliveries, makes the calls and settles what they ended in."""
