"""What the cost of this extension does as the work grows."""
