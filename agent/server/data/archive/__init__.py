"""Journals of jobs that are over: compressed, in the blob store, to be read from any line without reading the rest."""
