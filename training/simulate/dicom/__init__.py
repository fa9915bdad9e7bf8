"""A simulated case as a DICOM study, with the headers of one of five kinds of scanner."""
