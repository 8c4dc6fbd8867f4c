"""Learning: heads and colourisers that are solved; with torch, networks from pictures, and their ONNX files."""
