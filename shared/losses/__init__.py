"""Loss functions that MONAI and torch have not."""
