"""What a row is: kinds of columns, frames as matrices of numbers, preprocessing, and rows beyond memory.

It knows numbers and columns. It opens no file that a user names, and never loads torch.
"""
