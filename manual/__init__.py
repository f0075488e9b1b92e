"""Makes the manual pages and the shells' completions of the programs from their tables of options."""
