"""What a training run reads: documents, questions and their batches."""
