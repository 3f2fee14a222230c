"""Files: text, Parquet, arrays and folders of images as streams of rows; results; atomic writing of files.

This room knows tables and no detector. What a model expects of a file comes in as `tollad.io.source.Expected`.
"""
