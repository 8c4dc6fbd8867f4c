"""Labels of photos: read from masks and outlines that people draw, checked, and written.

Labels are uint8 arrays (H, W), as the photo is displayed: 0 to K-1, or IGNORE for a pixel without class.
"""
