"""What the tests build their world from: real repositories, real processes."""
