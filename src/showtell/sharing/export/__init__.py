"""A trained captioner for other programs: ONNX files, and a page that captions in the browser."""
