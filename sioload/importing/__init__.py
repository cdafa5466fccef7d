"""Scripts from what others have recorded or written: HAR files and Artillery scripts."""
