"""The tables of the paper, run again: protocols, runs as plain values, their execution, results and reports.

Only the command line and the plots import it.
"""
