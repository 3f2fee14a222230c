"""The tables of the paper, run again: protocols, runs as plain values, their execution, results and reports.

Nothing but the command line imports it.
"""
