"""What kerasdl claims of its speed: each module compares with a peer in one run and prints ratios of medians."""
