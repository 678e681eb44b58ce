"""Why does it not train? Checks of data, model and training, each with what to do."""
