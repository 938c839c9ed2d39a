"""Answers of a given form: grammars over tokens, JSON Schemas, objects filled field by field."""
