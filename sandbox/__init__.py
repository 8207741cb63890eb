"""Stand-ins of the outside providers: a process of its own that speaks their HTTP, with faults on demand
and a count of everything it received. It imports nothing else of this project; see README.md."""
