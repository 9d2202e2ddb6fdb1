"""What other programs of the field read, made from data sets and features (``mode=prepare``)."""
