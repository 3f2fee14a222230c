"""Files: text, Parquet, arrays and folders of images as streams of rows; results; atomic writing of files.

This room knows tables and no detector. The caller says what a model expects of a file, as a
`tollad.io.source.Expected`.
"""
