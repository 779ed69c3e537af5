"""From images and masks of any size to harmonized images."""
