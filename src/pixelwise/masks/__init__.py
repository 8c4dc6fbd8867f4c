"""Masks: which class each pixel of a photo has, read from what people draw with, checked, and written.

    raw      a picture of a mask as it is stored: numbers, or colours
    legend   which number or colour is which class; `classes.json`
    read     both together: labels
    coco, labelme, outlines    labels drawn from the outlines that these two tools write
    folder   photos and what is drawn on them, side by side
    doctor   what is wrong with such a folder, and what to do about it
    write    labels as a PNG that every tool reads

Labels are uint8 arrays (H, W), as the photo is displayed: 0 to K-1, or IGNORE for a pixel without class.
"""
