"""Learning: networks from pictures, heads from masks, a colouriser from a few photos, and ONNX files of them."""
