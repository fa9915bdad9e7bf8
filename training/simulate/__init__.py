"""Physics-based simulator of thrombi in MR studies: one noun a file."""
