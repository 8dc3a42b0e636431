"""What every endpoint shares: reading bodies strictly, answering errors in one place, saying who calls."""
