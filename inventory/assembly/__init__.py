"""From files to the model, and from the model to plans."""
