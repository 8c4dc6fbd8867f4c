"""Learning: heads and colourisers that are solved; with torch, networks from pictures; ONNX files."""
