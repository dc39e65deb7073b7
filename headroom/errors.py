"""What can go wrong in the workbench; the CLI turns each into one line and an exit code.

HeadroomError
├── ArtefactError     a file of a run is missing, broken or of another version
├── CalibrationError  the machine was too disturbed, or the stack did not answer as it should
└── RenderError       the report could not be drawn
"""


class HeadroomError(RuntimeError):
    """Base of the workbench's own errors."""


class ArtefactError(HeadroomError):
    """A file of a run is missing, broken or of another version."""


class CalibrationError(HeadroomError):
    """A calibration that nobody should build a prediction on."""


class ScaleTooSmall(CalibrationError):
    """An emulation's time goes by too fast for the real work of this machine."""


class RenderError(HeadroomError):
    """The report could not be drawn."""
