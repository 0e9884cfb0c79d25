"""What is optimised: propagation, fusion, scribble-to-mask; their losses, and how a network is built."""
