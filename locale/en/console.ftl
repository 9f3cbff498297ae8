# The operators' and administrators' console (/console).
