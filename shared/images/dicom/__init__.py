"""DICOM: files and series in, derived images and Secondary Captures out."""
