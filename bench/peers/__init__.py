"""The same job done by others: JSON event in, one signed POST, one committed row. None of what makes the mesh safe."""
