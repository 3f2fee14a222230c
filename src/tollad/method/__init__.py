"""The paper's contribution: the terms, the objective that loss and score share, and the networks.

It stands on torch alone and imports nothing of the other rooms.
"""
