"""All SQL, one module per table. A query is a short function that takes an open connection; its caller commits."""
