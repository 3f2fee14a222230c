"""The command line. Nobody imports it, and only it names options in a message."""
