"""Networks as they run: ONNX files and their sessions, backbones, colourisers, configurations, cards."""
