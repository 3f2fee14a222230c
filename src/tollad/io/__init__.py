"""Files: text, Parquet, arrays and folders of images as streams of rows; results; and whole files or none.

It knows tables and no detector: what a model expects of a file is handed in, as `tollad.io.source.Expected`.
"""
