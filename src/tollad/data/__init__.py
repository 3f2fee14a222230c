"""The benchmark data sets: a catalogue, their published formats, downloads and protocols. Nothing here loads torch."""
