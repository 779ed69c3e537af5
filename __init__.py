"""Harmonize Composite: makes a pasted or inpainted foreground match its background.

ComfyUI loads this file, so it imports nothing until it is asked for the nodes.
"""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint():
    """Returns the pack's nodes to ComfyUI."""
    try:
        from .nodes import HarmonizeCompositeExtension
    except Exception:
        import logging

        # ComfyUI itself logs one line only
        logging.getLogger(__name__).exception("Harmonize Composite could not be loaded")
        raise
    return HarmonizeCompositeExtension()
