"""More than one machine: many files scored and many fits carried out by a Ray cluster.

What needs no cluster says so by its module: a cluster is handed in as a way to carry out calls, see `tollad.calls`.
"""
