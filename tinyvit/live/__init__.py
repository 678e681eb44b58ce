"""The live page: a Vision Transformer that can be watched, turned around and taught, in one file, in a browser."""
