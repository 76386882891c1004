"""SentencePiece: sample, train, encode, export (no Beam, no torch)."""
