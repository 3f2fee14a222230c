"""More than one machine: many files scored and many fits carried out by a Ray cluster.

Only `cluster` needs Ray. The others take a cluster as a way to carry out calls, see `tollad.calls`.
"""
