"""What a newcomer feels, measured."""
