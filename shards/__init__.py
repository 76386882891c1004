"""Every on-disk format of the project, and the record types that travel between stages (no Beam, no torch)."""
