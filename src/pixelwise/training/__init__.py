"""Learning: networks from pictures, heads from masks, a colouriser from photos; ONNX files."""
