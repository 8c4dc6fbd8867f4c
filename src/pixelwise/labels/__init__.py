"""Labels of photos: class names; mask files and outlines read, checked and written; labelled data sets."""
