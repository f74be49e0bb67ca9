"""What the proxy asks of a cluster's API itself: who has which address, and a place for its certificate authority."""
