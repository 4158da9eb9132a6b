"""Settings from YAML files: sections that are frozen, checked and explained; every mistake with its place.

`section` is what settings are built from, `setting` knows each by its name, `load` reads a file, `text` prints one,
`yaml_marks` is the YAML beneath. Whoever has settings derives from `Section` and hands its class to `load`.
"""
