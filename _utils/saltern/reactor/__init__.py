"""What the cloud does by itself: decided here, purely; done by the engines."""
