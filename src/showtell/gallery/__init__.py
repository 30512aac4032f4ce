"""The gallery: pictures, what models and people said about them, and scores, as one HTML file."""
