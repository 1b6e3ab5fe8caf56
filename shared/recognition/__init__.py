"""Recognition: what a network recognises, which networks a run trains, and how they learn before the cascade."""

from shared.recognition.task import RecognitionTask

__all__ = ["RecognitionTask"]
