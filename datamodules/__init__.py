"""Lightning datamodules, data sets, decoding and transforms."""
