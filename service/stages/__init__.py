"""The clinical path: one verb, one file, one public function; no I/O, no clock."""
