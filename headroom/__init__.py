"""The workbench: the steps that join the models (`sim`) with the live stack (`stack`)."""
