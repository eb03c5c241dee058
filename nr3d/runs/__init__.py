"""From a configuration: build, train, test, extract, rehearse, and what finished runs found."""
