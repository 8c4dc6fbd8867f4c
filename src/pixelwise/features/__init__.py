"""Features of photos: the maps of a frozen backbone, computed once and kept on disk."""

from pixelwise.features.cache import FeatureCache, PhotoMaps
from pixelwise.features.extraction import Extractor, PhotoLook, read_photo

__all__ = ["Extractor", "FeatureCache", "PhotoLook", "PhotoMaps", "read_photo"]
