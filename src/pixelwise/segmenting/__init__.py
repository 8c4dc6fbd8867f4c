"""Cutting out: features of a frozen backbone, kept on disk; a linear head, solved exactly; masks."""
