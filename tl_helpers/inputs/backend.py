"""What Keras must be set to, where only that will do."""


def check_tensorflow(what):
    """Refuse another backend of Keras where only TensorFlow will do.

    Args:
        what: what needs it, for the message.

    Raises:
        ValueError: Keras runs on another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Got the backend {keras.backend.backend()}, expected tensorflow, for "
            f"which {what} is written; set KERAS_BACKEND=tensorflow before importing "
            "keras."
        )


def check_channels_last():
    """Refuse a Keras whose layers take the channels of an image first.

    Raises:
        ValueError: the image data format is "channels_first".
    """
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            f"Got image_data_format={keras.config.image_data_format()!r} in Keras, "
            "expected 'channels_last', as all images here are; change keras.json or "
            "call keras.config.set_image_data_format('channels_last')."
        )
