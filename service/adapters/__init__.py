"""One technology a file; foreign errors are translated here, once."""
