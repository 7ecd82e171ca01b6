"""Files as they are on disk and as the parsers see them; which files to lint; suppression comments."""
