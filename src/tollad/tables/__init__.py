"""Tables: kinds of columns, frames as matrices of numbers, preprocessing, and rows beyond memory.

This room knows columns and numbers. It never opens a file of the user and never imports torch.
"""
