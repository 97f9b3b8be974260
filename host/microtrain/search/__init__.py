"""Which layers to train: what each contributes, measured; the best sum in a RAM budget."""
