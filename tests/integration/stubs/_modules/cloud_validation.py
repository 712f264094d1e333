"""Nothing was made that is to be removed."""

__virtualname__ = "cloud_validation"


def __virtual__():
    return __virtualname__


def clean():
    """Nothing was made, nothing is left."""
    return "nothing"
