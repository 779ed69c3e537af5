"""A guide as the source of a change: another picture of the same scene, in the light that is wanted."""
