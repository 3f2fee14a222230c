"""Parquet files as pieces of tables."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tollad.io.arrays import damaged
from tollad.io.text import Piece, distinct_names


def parquet_parts(path: str, block_rows: int) -> Iterator[Piece]:
    """Yield successive pieces of a Parquet file, of `block_rows` rows at most.

    Raises
    ------
    ValueError
        For a damaged file and duplicated names.
    """
    from pyarrow import parquet  # slow to import: it brings clients of cloud storage

    try:
        # With a buffer, a row group is read piece by piece. Without one it is read whole, and it may be the whole file.
        # Opened here: Arrow takes file names in UTF-8 only.
        with open(path, "rb") as raw, parquet.ParquetFile(raw, buffer_size=1 << 16, pre_buffer=False) as file:
            names = distinct_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(block_rows):
                yield Piece(pa.table(batch.columns, names=names, metadata=file.schema_arrow.metadata))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "Parquet", error) from error
