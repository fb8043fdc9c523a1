"""The fast way from GeoTIFFs to a grid: only the blocks that are needed, decoded and warped in threads."""
