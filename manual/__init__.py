"""The manual pages and the shells' completions of the programs, made from their tables of options."""
