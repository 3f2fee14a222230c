"""The benchmark sets: which there are, readers of their authors' formats, downloads and their check. No torch here."""
