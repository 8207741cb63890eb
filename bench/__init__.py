"""What the mesh reaches beside its peers (`python -m bench`), and what it survives (`python -m bench.chaos`)."""
