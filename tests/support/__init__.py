"""What tests are made of: foreigners as small real servers, clocks turned by hand, tokens good and broken."""
