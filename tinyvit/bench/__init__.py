"""The `tinyvit bench` command: how fast is it, how near to what the machine can do, and how does PyTorch fare?"""
