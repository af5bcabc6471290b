"""The zoo: networks of one architecture, brought into one order of hidden units."""
